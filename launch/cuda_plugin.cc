#include "launch/cuda_plugin.h"

#include <dlfcn.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace vesalius::launch {
namespace {

std::string PluginPath() {
  Dl_info info;
  Invariant(::dladdr(reinterpret_cast<void*>(&HasCudaPlugin), &info) != 0, "dladdr failed");
  return std::filesystem::path(info.dli_fname).parent_path() / "libvesalius_cuda.so";
}

// The driver's device node; /dev/dxg is what stands for it under WSL.
bool HasGpu() { return Exists("/dev/nvidiactl") || Exists("/dev/dxg"); }

}  // namespace

bool HasCudaPlugin() { return Exists(PluginPath()); }

void LoadCudaPlugin(const std::string& device) {
  const bool wanted = device == "cuda";
  if (device == "cpu" || (!wanted && !(HasCudaPlugin() && HasGpu()))) return;
  Require(
      HasGpu(), ExitCode::kConfig,
      "--device cuda: this machine shows no GPU (no /dev/nvidiactl); use --device cpu, or check "
      "the driver with nvidia-smi");
  Require(HasCudaPlugin(), ExitCode::kConfig, "--device cuda: there is no ", PluginPath(),
          "; it is built where nvcc and NCCL are found: see `./run build`");
  // Global, so that what the plug-in brings (operators, the device guard) is there for all; for
  // good.
  if (::dlopen(PluginPath().c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return;
  const std::string message =
      StrCat("cannot load the CUDA plug-in: ", ::dlerror(), "; try `./run build --cuda-runtime`");
  Require(!wanted, ExitCode::kConfig, "--device cuda: ", message);
  log::Warning(message, "; going on without a GPU");
}

}  // namespace vesalius::launch
