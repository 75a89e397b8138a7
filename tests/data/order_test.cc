// The sample order: a bijection for any n, keyed by seed and epoch, without visible structure.
#include "data/loader/order.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

#include "base/error.h"
#include "bench/order_quality.h"

namespace vesalius::data {
namespace {

void ExpectBijection(std::int64_t n, std::uint64_t seed, std::int64_t epoch) {
  const SampleOrder order(n, seed, epoch);
  std::vector<bool> seen(n, false);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t at = order.At(i);
    ASSERT_GE(at, 0) << n;
    ASSERT_LT(at, n) << n;
    ASSERT_FALSE(seen[at]) << "sample " << at << " twice among " << n;
    seen[at] = true;
  }
}

double ChiSquare(const std::vector<double>& counts) {
  double total = 0, sum = 0;
  for (const double count : counts) total += count;
  const double expected = total / static_cast<double>(counts.size());
  for (const double count : counts) sum += (count - expected) * (count - expected) / expected;
  return sum;
}

TEST(SampleOrder, Bijection) {
  for (std::int64_t n = 1; n <= 300; ++n) ExpectBijection(n, 7 + n, n % 5);
  for (const std::int64_t n : {1000, 4095, 4096, 4097, 65537, 100003}) ExpectBijection(n, 3, 1);
}

TEST(SampleOrder, HugeDomainsAreReachedAtOnce) {
  const std::int64_t n = (std::int64_t{1} << 61) + 12345;
  const SampleOrder order(n, 1, 2);
  for (const std::int64_t position : {std::int64_t{0}, n / 2, n - 1}) {
    EXPECT_GE(order.At(position), 0);
    EXPECT_LT(order.At(position), n);
  }
  EXPECT_THROW(order.At(n), Error);
  EXPECT_THROW(order.At(-1), Error);
}

// The first and the last position hold each sample equally often.
TEST(SampleOrder, PositionsAreUniformOverEpochs) {
  constexpr int kSamples = 100, kEpochs = 40000;
  std::vector<double> first(kSamples), last(kSamples);
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    const SampleOrder order(kSamples, 11, epoch);
    ++first[order.At(0)];
    ++last[order.At(kSamples - 1)];
  }
  // 99 degrees of freedom: mean 99, standard deviation 14.
  EXPECT_NEAR(ChiSquare(first), 99, 5 * 14);
  EXPECT_NEAR(ChiSquare(last), 99, 5 * 14);
}

// Small sets: all 120 orders of 5 samples come equally often.
TEST(SampleOrder, AllOrdersOfAFewSamples) {
  constexpr int kEpochs = 24000;
  std::map<std::vector<std::int64_t>, double> seen;
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    const SampleOrder order(5, 2, epoch);
    ++seen[{order.At(0), order.At(1), order.At(2), order.At(3), order.At(4)}];
  }
  ASSERT_EQ(seen.size(), 120u);
  std::vector<double> counts;
  for (const auto& [permutation, count] : seen) counts.push_back(count);
  EXPECT_NEAR(ChiSquare(counts), 119, 5 * 15.4);  // 119 degrees of freedom
}

TEST(SampleOrder, EpochsAndSeedsAreIndependent) {
  constexpr std::int64_t kSamples = 5000;
  constexpr int kEpochs = 100;
  const SampleOrder base(kSamples, 1, 0);
  double by_epoch = 0, by_seed = 0;  // samples at the same position: Poisson(1) each
  for (int other = 1; other <= kEpochs; ++other) {
    const SampleOrder epoch(kSamples, 1, other), seed(kSamples, 1 + other, 0);
    for (std::int64_t i = 0; i < kSamples; ++i) {
      by_epoch += base.At(i) == epoch.At(i);
      by_seed += base.At(i) == seed.At(i);
    }
  }
  EXPECT_NEAR(by_epoch, kEpochs, 5 * std::sqrt(kEpochs));
  EXPECT_NEAR(by_seed, kEpochs, 5 * std::sqrt(kEpochs));
}

TEST(SampleOrder, NeighboursAreUncorrelated) {
  constexpr std::int64_t kSamples = 100000;
  const SampleOrder order(kSamples, 5, 3);
  const double mean = (kSamples - 1) / 2.0;
  double product = 0, square = 0, with_position = 0;
  for (std::int64_t i = 0; i + 1 < kSamples; ++i) {
    const double a = static_cast<double>(order.At(i)) - mean;
    product += a * (static_cast<double>(order.At(i + 1)) - mean);
    with_position += a * (static_cast<double>(i) - mean);
    square += a * a;
  }
  const double bound = 5 / std::sqrt(static_cast<double>(kSamples));
  EXPECT_NEAR(product / square, 0, bound);
  EXPECT_NEAR(with_position / square, 0, bound);
}

// Over 1,000 keys, about 1 % are outside the 99 % band of truly random orders.
TEST(SampleOrder, OrdersLookRandom) {
  const bench::OrderQuality quality = bench::MeasureOrders(1000);
  EXPECT_LE(quality.outside_correlation, 0.02);
  EXPECT_LE(quality.outside_chi_square, 0.02);
}

// A frozen vector: another order would break the resume of every stored run.
TEST(SampleOrder, IsFrozen) {
  const SampleOrder order(10, 1, 0);
  std::vector<std::int64_t> got;
  for (int i = 0; i < 10; ++i) got.push_back(order.At(i));
  EXPECT_EQ(got, (std::vector<std::int64_t>{6, 9, 8, 3, 0, 1, 4, 2, 5, 7}));
}

TEST(RankSlice, JoinsWithoutGapOrOverlap) {
  for (std::int64_t batch = 1; batch <= 20; ++batch) {
    for (int ranks = 1; ranks <= 7; ++ranks) {
      std::int64_t next = 3 * batch;
      for (int rank = 0; rank < ranks; ++rank) {
        const PositionRange slice = RankSlice(3 * batch, batch, rank, ranks);
        EXPECT_EQ(slice.begin, next);
        EXPECT_GE(slice.end - slice.begin, batch / ranks);
        EXPECT_LE(slice.end - slice.begin, (batch + ranks - 1) / ranks);
        next = slice.end;
      }
      EXPECT_EQ(next, 4 * batch);
    }
  }
}

}  // namespace
}  // namespace vesalius::data
