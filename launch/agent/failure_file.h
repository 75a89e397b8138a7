// RUN/failure.json: the first cause of the newest attempt that failed, and what was done about it.
#pragma once

#include <string>

#include "launch/agent/cause.h"
#include "launch/agent/ladder.h"

namespace vesalius::launch {

void WriteFailure(const std::string& run, const std::string& token, int attempt, const Cause& cause,
                  const Decision& decision);

}  // namespace vesalius::launch
