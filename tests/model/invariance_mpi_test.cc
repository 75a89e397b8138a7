// The same over MPI processes: run under mpirun with 2 and 3 ranks.
#include <gtest/gtest.h>

#include "tests/model/invariance.h"

namespace vesalius::model {
namespace {

TEST(InvarianceMpi, UnequalBatches) {
  const auto bootstrap = dist::MakeBootstrap();
  ASSERT_GT(bootstrap->size(), 1) << "run under mpirun";
  const auto comm = bootstrap->MakeCommunicator(dist::Device::kCpu, {});
  const int r = bootstrap->rank(), ranks = bootstrap->size();
  constexpr std::int64_t kImages = 12;
  for (const auto& [type, tolerance] :
       {std::pair{at::kFloat, 1e-5}, std::pair{at::kDouble, 1e-9}}) {
    const BatchTensors all = GlobalBatch(kImages, type);
    const BatchTensors part =
        LocalPart(all, Begin(r, ranks, kImages), Begin(r + 1, ranks, kImages));
    for (const char* contrast : {"gather", "hybrid", "ring"}) {
      SCOPED_TRACE(contrast);
      ExpectSame(RunStep(*comm, part, type, contrast), Reference(kImages, type), tolerance);
    }
  }
}

}  // namespace
}  // namespace vesalius::model
