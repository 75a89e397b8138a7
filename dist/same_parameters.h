// Ranks that exchange gradients must hold the same parameters in the same order.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "dist/communicator.h"

namespace vesalius::dist {

// Collective. Throws Error(kConfig) that names a rank and the first parameter where its list
// (names, shapes, types) differs from rank 0's.
void RequireSameParameters(Communicator& comm,
                           const std::vector<std::pair<std::string, at::Tensor>>& parameters);

}  // namespace vesalius::dist
