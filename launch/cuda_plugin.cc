#include "launch/cuda_plugin.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "dist/cuda_plugin.h"

namespace vesalius::launch {
namespace {

// The driver's device node; /dev/dxg is what stands for it under WSL.
bool HasGpu() { return Exists("/dev/nvidiactl") || Exists("/dev/dxg"); }

}  // namespace

void PrepareDevice(const std::string& device) {
  if (device == "cpu") return;
  const bool wanted = device == "cuda";
  if (!wanted && (!HasGpu() || dist::CudaPluginPath().empty())) return;
  Require(
      HasGpu(), ExitCode::kConfig,
      "--device cuda: this machine shows no GPU (no /dev/nvidiactl); use --device cpu, or check "
      "the driver with nvidia-smi");
  try {
    dist::LoadCudaPlugin();
  } catch (const Error& error) {
    if (wanted) throw;
    log::Warning(error.what(), "; going on without a GPU");
  }
}

}  // namespace vesalius::launch
