// The one thing that launch/ wants from LibTorch itself.
#pragma once

#include <string>

namespace vesalius::launch {

// The LibTorch that the program was compiled with, e.g. "2.11.0".
std::string TorchVersion();

}  // namespace vesalius::launch
