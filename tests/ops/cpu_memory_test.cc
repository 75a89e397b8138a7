#include "ops/cpu_memory.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <thread>

namespace vesalius::ops {
namespace {

constexpr std::int64_t kKilobyte = 1024;

TEST(CpuMemory, CountsWhatIsLiveAndThePeak) {
  const CpuMemoryMeter meter;
  {
    const at::Tensor a = at::zeros({kKilobyte}, at::kFloat);
    EXPECT_EQ(meter.live(), 4 * kKilobyte);
    const at::Tensor view = a.view({2, -1}).slice(1, 3);
    EXPECT_EQ(meter.live(), 4 * kKilobyte);
  }
  EXPECT_EQ(meter.live(), 0);
  EXPECT_EQ(meter.peak(), 4 * kKilobyte);
}

TEST(CpuMemory, APeakBeginsAnewWithEachMeter) {
  const CpuMemoryMeter first;
  const at::Tensor kept = at::zeros({kKilobyte}, at::kDouble);
  { const at::Tensor gone = at::zeros({kKilobyte}, at::kDouble); }
  EXPECT_EQ(first.peak(), 16 * kKilobyte);
  const CpuMemoryMeter second;
  EXPECT_EQ(second.peak(), 0);
  const at::Tensor more = at::zeros({kKilobyte}, at::kByte);
  EXPECT_EQ(second.peak(), kKilobyte);
}

TEST(CpuMemory, SeesOtherThreadsAndOperatorsThatResize) {
  const CpuMemoryMeter meter;
  at::Tensor made;
  std::thread([&] { made = at::ones({kKilobyte}, at::kFloat); }).join();
  EXPECT_EQ(meter.live(), 4 * kKilobyte);
  made.resize_({2 * kKilobyte});
  EXPECT_EQ(meter.live(), 8 * kKilobyte);
  EXPECT_EQ(made.slice(0, 0, kKilobyte).sum().item<float>(), kKilobyte);
}

TEST(CpuMemory, OperatorsThatAllocateRawMemoryWork) {
  const CpuMemoryMeter meter;
  const at::Tensor x = at::ones({64, 1024});
  EXPECT_GT(at::gelu(x).sum().item<float>(), 0);
  EXPECT_EQ(meter.live(), 64 * 4 * kKilobyte);
  EXPECT_GE(meter.peak(), 2 * 64 * 4 * kKilobyte);
}

}  // namespace
}  // namespace vesalius::ops
