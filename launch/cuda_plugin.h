// The CUDA plug-in, libvesalius_cuda.so beside libvesalius.so: the program itself needs no CUDA.
#pragma once

#include <string>

namespace vesalius::launch {

// Whether it was built.
bool HasCudaPlugin();

// Loads the plug-in where `device` asks for it: "cpu" never; "auto" where there are a plug-in and a
// GPU, with a warning when it cannot be loaded; "cuda" always. Must run before LibTorch first looks
// for CUDA. Error(kConfig) when "cuda" cannot be had, saying what is missing.
void LoadCudaPlugin(const std::string& device);

}  // namespace vesalius::launch
