#include "data/inspect/lengths.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace vesalius::data {
namespace {

constexpr std::int64_t kMostBins = 40;

std::int64_t FloorTo(std::int64_t value, std::int64_t step) {
  return (value / step - (value % step < 0 ? 1 : 0)) * step;
}

// The least of 1, 2, 5, 10, 20, ... with which [least, most] takes at most kMostBins bins.
std::int64_t Step(std::int64_t least, std::int64_t most) {
  for (std::int64_t power = 1;; power *= 10)
    for (const std::int64_t step : {power, 2 * power, 5 * power})
      if ((most - FloorTo(least, step)) / step < kMostBins) return step;
}

}  // namespace

std::int64_t Lengths::Quantile(double share) const {
  const auto wanted = static_cast<std::int64_t>(std::ceil(share * static_cast<double>(total_)));
  std::int64_t seen = 0;
  for (const auto& [value, count] : counts_)
    if ((seen += count) >= wanted) return value;
  return counts_.rbegin()->first;
}

nlohmann::json Lengths::ToJson() const {
  if (total_ == 0) return nullptr;
  const std::int64_t least = counts_.begin()->first, most = counts_.rbegin()->first;
  const std::int64_t step = Step(least, most), from = FloorTo(least, step);
  std::vector<std::int64_t> bins(static_cast<std::size_t>((most - from) / step + 1));
  double sum = 0;
  for (const auto& [value, count] : counts_) {
    bins[static_cast<std::size_t>((value - from) / step)] += count;
    sum += static_cast<double>(value) * static_cast<double>(count);
  }
  return {{"least", least},
          {"mean", sum / static_cast<double>(total_)},
          {"median", Quantile(0.5)},
          {"p95", Quantile(0.95)},
          {"most", most},
          {"histogram", {{"from", from}, {"step", step}, {"counts", bins}}}};
}

}  // namespace vesalius::data
