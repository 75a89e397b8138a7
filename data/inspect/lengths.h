// The distribution of whole numbers (pixels, characters, tokens): exact, in memory that grows with
// the number of different values, not with the number of records.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>

namespace vesalius::data {

class Lengths {
 public:
  void Add(std::int64_t value) {
    ++counts_[value];
    ++total_;
  }

  // {"least", "mean", "median", "p95", "most", "histogram": {"from", "step", "counts"}}; bin i of
  // the histogram counts values in [from + i * step, from + (i + 1) * step). Without values: null.
  nlohmann::json ToJson() const;

 private:
  // The least value that at least `share` of all values do not exceed.
  std::int64_t Quantile(double share) const;

  std::map<std::int64_t, std::int64_t> counts_;
  std::int64_t total_ = 0;
};

}  // namespace vesalius::data
