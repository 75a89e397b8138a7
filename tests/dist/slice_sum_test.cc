// The sum over slices has the same bits whatever the number of ranks, and is the sum.
#include "dist/slice_sum.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cstring>

#include "tests/dist/on_ranks.h"

namespace vesalius::dist {
namespace {

constexpr std::int64_t kLength = 1003;

std::vector<at::Tensor> Slices(int slices) {
  at::manual_seed(3);
  std::vector<at::Tensor> out;
  for (int s = 0; s < slices; ++s) out.push_back(at::randn({kLength}) * std::pow(10.0, s % 5));
  return out;
}

at::Tensor SumOn(int ranks, int slices) {
  const std::vector<at::Tensor> all = Slices(slices);
  std::vector<at::Tensor> sums(static_cast<std::size_t>(ranks));
  OnRanks(ranks, [&](Communicator& comm) {
    const SliceRange mine = SlicesOf(comm.rank(), ranks, slices);
    std::vector<at::Tensor> own;
    for (int s = mine.begin; s < mine.end; ++s)
      own.push_back(all[static_cast<std::size_t>(s)].clone());
    sums[static_cast<std::size_t>(comm.rank())] = SumSlices(comm, own, slices);
  });
  for (const at::Tensor& sum : sums) EXPECT_TRUE(sum.equal(sums[0]));
  return sums[0];
}

TEST(SliceSum, HasTheSameBitsOnAnyNumberOfRanks) {
  for (const int slices : {1, 2, 3, 5, 8, 16}) {
    const at::Tensor alone = SumOn(1, slices);
    at::Tensor exact = at::zeros({kLength}, at::kDouble);
    for (const at::Tensor& slice : Slices(slices)) exact += slice;
    EXPECT_TRUE(at::allclose(alone.to(at::kDouble), exact, 1e-5, 1e-2)) << slices;
    for (int ranks = 2; ranks <= std::min(slices, 8); ++ranks)
      EXPECT_TRUE(SumOn(ranks, slices).equal(alone)) << slices << " slices, " << ranks << " ranks";
  }
}

// The tree is what makes it so: adding rank by rank gives other bits.
TEST(SliceSum, SumsOfRanksDiffer) {
  const std::vector<at::Tensor> all = Slices(8);
  const auto by_rank = [&](int ranks) {
    at::Tensor sum = at::zeros({kLength});
    for (int rank = 0; rank < ranks; ++rank) {
      at::Tensor own = at::zeros({kLength});
      const SliceRange mine = SlicesOf(rank, ranks, 8);
      for (int s = mine.begin; s < mine.end; ++s) own += all[static_cast<std::size_t>(s)];
      sum += own;
    }
    return sum;
  };
  EXPECT_FALSE(by_rank(3).equal(by_rank(8)));
}

TEST(SliceSum, EveryRankHasSlices) {
  for (int slices = 1; slices <= 16; ++slices)
    for (int ranks = 1; ranks <= slices; ++ranks) {
      int next = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const SliceRange range = SlicesOf(rank, ranks, slices);
        EXPECT_EQ(range.begin, next);
        EXPECT_GT(range.size(), 0);
        next = range.end;
      }
      EXPECT_EQ(next, slices);
    }
}

}  // namespace
}  // namespace vesalius::dist
