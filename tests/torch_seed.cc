// LibTorch seeds its generator from the system's entropy: a tolerance that one draw in ten breaks
// would fail one run in ten. Here each test of a program with torch draws the same values at every
// run. Other ones, from N on: --gtest_shuffle --gtest_random_seed=N --gtest_repeat=100.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace vesalius {
namespace {

class TorchSeed : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo&) override {
    at::manual_seed(static_cast<std::uint64_t>(testing::UnitTest::GetInstance()->random_seed()));
  }
};

[[maybe_unused]] const bool kListens = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new TorchSeed);  // which owns it
  return true;
}();

}  // namespace
}  // namespace vesalius
