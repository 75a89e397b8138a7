// RUN/failure.json: the first cause of the newest attempt that failed, what each rank was doing,
// and what was done about it. After a hang also the calls that the ranks were in, equal ones
// together: a thousand that wait and the one that they wait for are two entries.
#pragma once

#include <string>

#include "launch/agent/cause.h"
#include "launch/agent/ladder.h"

namespace vesalius::launch {

void WriteFailure(const std::string& run, const std::string& token, int attempt, const Cause& cause,
                  const std::vector<RankView>& ranks, const Decision& decision);

}  // namespace vesalius::launch
