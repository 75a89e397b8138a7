// Loads the CUDA plug-in, libvesalius_cuda.so, which lies beside libvesalius.so. The program itself
// needs no CUDA library.
#pragma once

#include <string>

namespace vesalius::dist {

// Where the plug-in lies, or "" when this build has none.
std::string CudaPluginPath();

// Makes CUDA tensors and Device::kCuda communicators available. Call it first thing in main(),
// before any tensor exists: LibTorch caches what it finds. Error(kConfig) with the remedy when the
// plug-in is absent, cannot be loaded, or finds no GPU.
void LoadCudaPlugin();

}  // namespace vesalius::dist
