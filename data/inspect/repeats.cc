#include "data/inspect/repeats.h"

#include <algorithm>
#include <bit>

namespace vesalius::data {

Repeats::Summary Repeats::Summarise() const {
  std::vector<std::uint64_t> keys = keys_;
  std::sort(keys.begin(), keys.end());
  Summary summary;
  for (std::size_t i = 0; i < keys.size();) {
    unsigned splits = 0;
    std::size_t end = i;
    for (; end < keys.size() && keys[end] >> 2 == keys[i] >> 2; ++end)
      splits |= 1u << (keys[end] & 3);
    ++summary.distinct;
    summary.repeats += static_cast<std::int64_t>(end - i) - 1;
    for (unsigned split = 0; split < 3; ++split) summary.in_split[split] += splits >> split & 1;
    summary.in_several_splits += std::popcount(splits) > 1;
    summary.train_valid += (splits & 3) == 3;
    summary.train_test += (splits & 5) == 5;
    summary.valid_test += (splits & 6) == 6;
    i = end;
  }
  return summary;
}

}  // namespace vesalius::data
