#include "data/loader/order.h"

#include <bit>

#include "base/error.h"
#include "base/hash.h"
#include "base/random.h"

namespace vesalius::data {

SampleOrder::SampleOrder(std::int64_t n, std::uint64_t seed, std::int64_t epoch)
    : n_(static_cast<std::uint64_t>(n)) {
  Invariant(n >= 1, "a sample order over ", n, " samples");
  const int bits = std::bit_width(n_ - 1);
  right_bits_ = (bits + 1) / 2;
  right_mask_ = (std::uint64_t{1} << right_bits_) - 1;
  left_mask_ = (std::uint64_t{1} << (bits - right_bits_)) - 1;
  Random random(seed, Purpose::kShuffle, static_cast<std::uint64_t>(epoch));
  for (std::uint64_t& key : keys_) key = random.Next64();
}

std::uint64_t SampleOrder::Encrypt(std::uint64_t x) const {
  std::uint64_t left = x >> right_bits_, right = x & right_mask_;
  for (int round = 0; round < kRounds; round += 2) {
    left ^= Mix64(right ^ keys_[round]) & left_mask_;
    right ^= Mix64(left ^ keys_[round + 1]) & right_mask_;
  }
  return left << right_bits_ | right;
}

std::int64_t SampleOrder::At(std::int64_t position) const {
  auto x = static_cast<std::uint64_t>(position);
  Invariant(x < n_, "position ", position, " of an epoch of ", n_, " samples");
  do {
    x = Encrypt(x);
  } while (x >= n_);
  return static_cast<std::int64_t>(x);
}

PositionRange RankSlice(std::int64_t first, std::int64_t global_batch, int rank, int ranks) {
  return {first + rank * global_batch / ranks, first + (rank + 1) * global_batch / ranks};
}

}  // namespace vesalius::data
