// The order in which samples are visited: for each epoch a permutation of [0, n) by a block cipher,
// a Feistel network over the smallest power of two >= n with cycle walking (Black and Rogaway,
// "Ciphers with arbitrary finite domains", CT-RSA 2002). O(1) memory, O(1) random access to any
// position, so that a run resumes anywhere at once. Depends on (seed, epoch) alone: never on ranks
// or workers.
#pragma once

#include <array>
#include <cstdint>

namespace vesalius::data {

// One epoch's permutation. Immutable, thread-safe.
class SampleOrder {
 public:
  // `n` >= 1 samples.
  SampleOrder(std::int64_t n, std::uint64_t seed, std::int64_t epoch);

  // The sample at `position` of [0, n); a bijection of [0, n). The domain is below 2n, hence below
  // two encryptions on average.
  std::int64_t At(std::int64_t position) const;

 private:
  static constexpr int kRounds =
      24;  // half rounds; with fewer, sets of 5 or 6 samples favour some orders
  std::uint64_t Encrypt(std::uint64_t x) const;

  std::uint64_t n_;
  int right_bits_ = 0;
  std::uint64_t left_mask_ = 0, right_mask_ = 0;  // halves differ by one bit in odd-bit domains
  std::array<std::uint64_t, kRounds> keys_{};
};

// Positions [begin, end) of an epoch.
struct PositionRange {
  std::int64_t begin = 0, end = 0;
};

// The share of `rank` in the global batch that starts at position `first`:
// [first + r*B/W, first + (r+1)*B/W). The ranges of all ranks join without gap or overlap, for any
// W.
PositionRange RankSlice(std::int64_t first, std::int64_t global_batch, int rank, int ranks);

}  // namespace vesalius::data
