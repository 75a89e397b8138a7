#include "launch/torch_version.h"

#include <torch/version.h>

namespace vesalius::launch {

std::string TorchVersion() { return TORCH_VERSION; }

}  // namespace vesalius::launch
