#include "bench/order_quality.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include "data/loader/order.h"

namespace vesalius::bench {
namespace {

constexpr std::int64_t kSamples = 10'007;
constexpr int kBlocks = 16;
constexpr double kBand = 2.5758;  // 99 % of a normal distribution

// Of the samples at p and p + 1, in standard deviations: under random permutations the mean is
// -1 / (n - 1) and the variance close to 1 / n (Wald and Wolfowitz, 1943).
double NeighbourScore(const std::vector<std::int64_t>& order) {
  const double n = static_cast<double>(kSamples), mean = (n - 1) / 2;
  double product = 0, square = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const double a = static_cast<double>(order[i]) - mean;
    const double b = static_cast<double>(order[(i + 1) % order.size()]) - mean;
    product += a * b;
    square += a * a;
  }
  return (product / square + 1 / (n - 1)) * std::sqrt(n);
}

// Chi-square of the table of position block by sample block, both margins fixed, in standard
// deviations of the normal that its cube root is close to (Wilson and Hilferty, 1931).
double PlaceScore(const std::vector<std::int64_t>& order) {
  std::vector<double> counts(kBlocks * kBlocks), margin(kBlocks);
  const auto block = [](std::int64_t i) { return static_cast<int>(i * kBlocks / kSamples); };
  for (std::int64_t i = 0; i < kSamples; ++i) {
    ++counts[block(i) * kBlocks + block(order[static_cast<std::size_t>(i)])];
    ++margin[block(i)];
  }
  double sum = 0;
  for (int a = 0; a < kBlocks; ++a)
    for (int b = 0; b < kBlocks; ++b) {
      const double expected = margin[a] * margin[b] / static_cast<double>(kSamples);
      const double gap = counts[a * kBlocks + b] - expected;
      sum += gap * gap / expected;
    }
  // Without replacement the sum's mean is larger by n / (n - 1).
  const double freedom = (kBlocks - 1) * (kBlocks - 1);
  const double scaled = sum * static_cast<double>(kSamples - 1) / kSamples / freedom;
  const double spread = 2 / (9 * freedom);
  return (std::cbrt(scaled) - (1 - spread)) / std::sqrt(spread);
}

}  // namespace

OrderQuality MeasureOrders(int keys) {
  OrderQuality quality;
  std::vector<std::int64_t> samples(kSamples);
  for (int key = 0; key < keys; ++key) {
    const data::SampleOrder order(kSamples, static_cast<std::uint64_t>(key), 0);
    for (std::int64_t i = 0; i < kSamples; ++i) samples[static_cast<std::size_t>(i)] = order.At(i);
    quality.outside_correlation += std::abs(NeighbourScore(samples)) > kBand;
    quality.outside_chi_square += std::abs(PlaceScore(samples)) > kBand;
  }
  quality.outside_correlation /= keys;
  quality.outside_chi_square /= keys;
  return quality;
}

}  // namespace vesalius::bench
