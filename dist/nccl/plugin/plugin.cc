// What happens when the program loads libvesalius_cuda.so: the nccl backend is registered (kernels
// register themselves with the LibTorch dispatcher).
#include <cuda_runtime.h>

#include "base/error.h"
#include "dist/backend_registry.h"
#include "dist/nccl/nccl_communicator.h"
#include "dist/nccl/plugin/nccl_table.h"

namespace vesalius::dist::nccl {
namespace {

// The GPU that the rank's tensors are on: the trainer deals GPUs out to the ranks of a node in turn
// as well. NCCL refuses ranks that share one, and the session's message says so; this process alone
// cannot tell, since a launcher may show every rank one GPU of its own.
int ChooseDevice(const Bootstrap& bootstrap) {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  Require(result == cudaSuccess && count > 0, ExitCode::kConfig,
          "no usable GPU: ", cudaGetErrorString(result));
  return bootstrap.node_rank() % count;
}

const bool kRegistered = [] {
  RegisterBackend(Device::kCuda, [](Bootstrap& bootstrap, const CommunicatorOptions& options) {
    static const std::shared_ptr<const Api> api = MakeRealApi();
    return MakeNcclCommunicator(api, ChooseDevice(bootstrap), bootstrap, options);
  });
  return true;
}();

}  // namespace
}  // namespace vesalius::dist::nccl

// Why no GPU can be used, or "" when one can. The one symbol that the program looks up.
extern "C" const char* VesaliusCudaProblem() {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result != cudaSuccess) return cudaGetErrorString(result);
  return count > 0 ? "" : "no CUDA device is visible";
}
