// Local ranks 1 to 4, unequal batches, a rank without any image.
#include <gtest/gtest.h>

#include <mutex>

#include "tests/model/invariance.h"

namespace vesalius::model {
namespace {

void Check(std::int64_t images, int ranks, at::ScalarType type, double tolerance) {
  const GlobalStep reference = Reference(images, type);
  std::mutex mutex;
  dist::RunLocalRanks(ranks, [&](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    const BatchTensors all = GlobalBatch(images, type);
    const int r = bootstrap.rank();
    const GlobalStep step =
        RunStep(*comm, LocalPart(all, Begin(r, ranks, images), Begin(r + 1, ranks, images)), type);
    const std::lock_guard<std::mutex> lock(mutex);
    ExpectSame(step, reference, tolerance);
  });
}

TEST(Invariance, Float32) {
  for (const int ranks : {1, 2, 3, 4}) Check(12, ranks, at::kFloat, 1e-5);
}

TEST(Invariance, Float64) {
  for (const int ranks : {1, 2, 3, 4}) Check(12, ranks, at::kDouble, 1e-9);
}

TEST(Invariance, RankWithoutImages) { Check(4, 4, at::kDouble, 1e-9); }

}  // namespace
}  // namespace vesalius::model
