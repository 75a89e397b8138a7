#include "dist/table/dedupe.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "base/error.h"

namespace vesalius::dist {
namespace {

constexpr std::size_t kBlock = 32;  // ids whose slots are on their way from memory together
constexpr std::size_t kLeastSlots = 64;

// Fibonacci hashing: the high bits of a product by 2^64 / golden ratio spread runs of ids evenly.
std::uint64_t Spread(std::int64_t id) {
  return static_cast<std::uint64_t>(id) * 0x9E3779B97F4A7C15ull;
}

}  // namespace

void Dedupe::MakeRoom(std::size_t ids) {
  Require(ids <= std::numeric_limits<std::int32_t>::max(), ExitCode::kBug, "dedupe of ", ids,
          " ids at once");
  const std::size_t slots = std::max(kLeastSlots, std::bit_ceil(2 * ids));
  const bool wraps = ids > std::numeric_limits<std::uint32_t>::max() - base_;
  if (slots > slots_.size() || wraps) {
    slots_.assign(std::max(slots, slots_.size()), 0);
    base_ = 1;
  }
  inverse_.resize(ids);
  unique_.resize(ids);
}

void Dedupe::Run(std::span<const std::int64_t> ids) {
  MakeRoom(ids.size());
  const int shift = 64 - std::countr_zero(slots_.size());
  const std::size_t mask = slots_.size() - 1;
  std::uint32_t* slots = slots_.data();
  std::int64_t* unique = unique_.data();
  std::uint32_t count = 0;
  std::array<std::size_t, kBlock> at;
  for (std::size_t begin = 0; begin < ids.size(); begin += kBlock) {
    const std::size_t block = std::min(kBlock, ids.size() - begin);
    for (std::size_t i = 0; i < block; ++i) {
      at[i] = Spread(ids[begin + i]) >> shift;
      __builtin_prefetch(slots + at[i], 1);
    }
    for (std::size_t i = 0; i < block; ++i) {
      const std::int64_t id = ids[begin + i];
      std::size_t slot = at[i];
      while (slots[slot] >= base_ && unique[slots[slot] - base_] != id) slot = (slot + 1) & mask;
      if (slots[slot] < base_) {
        slots[slot] = base_ + count;
        unique[count++] = id;
      }
      inverse_[begin + i] = static_cast<std::int32_t>(slots[slot] - base_);
    }
  }
  unique_.resize(count);
  base_ += count;
}

Groups GroupPositions(std::span<const std::int32_t> inverse, std::size_t distinct) {
  Groups groups;
  groups.offsets.assign(distinct + 1, 0);
  groups.positions.resize(inverse.size());
  for (const std::int32_t u : inverse) ++groups.offsets[u + 1];
  for (std::size_t u = 0; u < distinct; ++u) groups.offsets[u + 1] += groups.offsets[u];
  std::vector<std::int32_t> next(groups.offsets.begin(), groups.offsets.end() - 1);
  for (std::size_t i = 0; i < inverse.size(); ++i)
    groups.positions[next[inverse[i]]++] = static_cast<std::int32_t>(i);
  return groups;
}

}  // namespace vesalius::dist
