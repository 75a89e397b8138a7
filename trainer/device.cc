#include "trainer/device.h"

#include <ATen/Parallel.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <sched.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "dist/bootstrap.h"

namespace vesalius::trainer {

at::Device ChooseDevice(const std::string& name, int node_rank) {
  if (name == "cpu") return at::kCPU;
  Require(name == "cuda" || name == "auto", ExitCode::kUsage, "--device ", name,
          ": expected auto, cpu or cuda");
  // The guard comes with the CUDA plug-in, which the program has loaded by now if it can be had.
  const int gpus = c10::impl::hasDeviceGuardImpl(at::kCUDA)
                       ? c10::impl::getDeviceGuardImpl(at::kCUDA)->deviceCount()
                       : 0;
  if (gpus > 0) return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(node_rank % gpus));
  Require(name == "auto", ExitCode::kConfig,
          "--device cuda: no GPU answers; use --device cpu, or start on a node with a GPU");
  return at::kCPU;
}

void SetUpThreads(int wanted, int node_size) {
  if (const std::string said = dist::WidenAffinity(wanted); !said.empty()) log::Info(said);
  const int online = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  cpu_set_t allowed;
  const int cores =
      ::sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : online;
  // A rank bound to fewer cores than the node has does not share them with the others.
  const int sharing = cores < online ? 1 : std::max(1, node_size);
  at::set_num_threads(wanted > 0 ? wanted : std::max(1, cores / sharing));
}

}  // namespace vesalius::trainer
