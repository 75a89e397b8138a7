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

TEST(SumSquares, IsNotLostToSmallOrLargeValues) {
  EXPECT_DOUBLE_EQ(SumSquares(at::full({70'000}, 1e-30f)).item<double>(),
                   70'000 * static_cast<double>(1e-30f) * static_cast<double>(1e-30f));
  EXPECT_TRUE(std::isinf(SumSquares(at::full({3}, INFINITY)).item<double>()));
  EXPECT_TRUE(std::isnan(SumSquares(at::full({3}, NAN)).item<double>()));
}

}  // namespace
}  // namespace vesalius::ops
