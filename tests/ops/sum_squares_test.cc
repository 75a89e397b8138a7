#include "ops/sum_squares.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace vesalius::ops {
namespace {

TEST(SumSquares, AgreesWithAWideSum) {
  for (const std::int64_t count : {0, 1, 255, 256, 257, 65536, 65537, 300'001}) {
    for (const auto type : {at::kFloat, at::kDouble}) {
      const at::Tensor x = (at::sin(at::arange(count, at::kDouble)) * 3).to(type);
      const double want = x.to(at::kDouble).pow(2).sum().item<double>();
      const at::Tensor sum = SumSquares(x);
      EXPECT_EQ(sum.scalar_type(), at::kDouble);
      EXPECT_EQ(sum.dim(), 0);
      EXPECT_NEAR(sum.item<double>(), want, 1e-12 * want) << count;
    }
  }
}

TEST(SumSquares, ThreadsDoNotChangeTheBits) {
  const at::Tensor x = at::sin(at::arange(1'000'003, at::kDouble)).to(at::kFloat);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const double one = SumSquares(x).item<double>();
  at::set_num_threads(3);
  EXPECT_EQ(SumSquares(x).item<double>(), one);
  at::set_num_threads(before);
}

TEST(SumSquares, PartsAddUpToTheSameBits) {
  for (const double scale : {1e-120, 1e-18, 1.0, 1e30}) {
    const at::Tensor x = at::sin(at::arange(70'001, at::kDouble)) * scale;
    const at::Tensor whole = ExactSumSquares(x);
    at::Tensor parts = at::zeros_like(whole);
    for (std::int64_t begin = 0; begin < x.numel(); begin += 64 * 17)
      parts += ExactSumSquares(x.narrow(0, begin, std::min<std::int64_t>(64 * 17, 70'001 - begin)));
    EXPECT_TRUE(at::equal(parts, whole));
    const double want = x.pow(2).sum().item<double>();
    EXPECT_NEAR(ValueOfSum(parts).item<double>(), want, scale > 1e-50 ? 1e-13 * want : 1e-150);
  }
}

TEST(SumSquares, IsNotLostToSmallOrLargeValues) {
  EXPECT_DOUBLE_EQ(SumSquares(at::full({70'000}, 1e-30f)).item<double>(),
                   70'000 * static_cast<double>(1e-30f) * static_cast<double>(1e-30f));
  EXPECT_TRUE(std::isinf(SumSquares(at::full({3}, INFINITY)).item<double>()));
  EXPECT_TRUE(std::isnan(SumSquares(at::full({3}, NAN)).item<double>()));
}

}  // namespace
}  // namespace vesalius::ops
