// Which patients, studies, texts or pictures come several times, and whether splits share any.
// Eight bytes for each record, nothing more: a 62-bit hash and the split.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "data/record.h"

namespace vesalius::data {

class Repeats {
 public:
  struct Summary {
    std::int64_t distinct = 0;
    std::int64_t repeats = 0;                // records beyond the first of each
    std::array<std::int64_t, 3> in_split{};  // distinct ones, by Split
    std::int64_t in_several_splits = 0;      // distinct ones
    std::int64_t train_valid = 0, train_test = 0, valid_test = 0;  // distinct ones in both
  };

  void Add(std::uint64_t hash, Split split) {
    keys_.push_back((hash & ~std::uint64_t{3}) | static_cast<std::uint64_t>(split));
  }

  Summary Summarise() const;

 private:
  std::vector<std::uint64_t> keys_;
};

}  // namespace vesalius::data
