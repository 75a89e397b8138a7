// When the CUDA plug-in is loaded: what `--device` means for it.
#pragma once

#include <string>

namespace vesalius::launch {

// "cpu": nothing. "auto": loads the plug-in where it and a GPU are there, with a warning when that
// fails. "cuda": always, Error(kConfig) when it cannot be had. Must run before LibTorch first looks
// for CUDA.
void PrepareDevice(const std::string& device);

}  // namespace vesalius::launch
