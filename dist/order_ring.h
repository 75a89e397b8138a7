// The last collectives that a rank called, and a hash of all: how ranks find out after the fact
// where their calls began to differ.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "dist/fingerprint.h"

namespace vesalius::dist {

// Not thread-safe.
class OrderRing {
 public:
  static constexpr std::uint64_t kKept = 64;

  void Add(const Header& header);
  std::uint64_t hash() const { return hash_; }
  // The kept calls in order, for RequireSameOrder.
  std::string Encode() const;

 private:
  std::array<Header, kKept> kept_;
  std::uint64_t calls_ = 0;
  std::uint64_t hash_ = 0;
};

// Throws Error(kBug) that names the first call in which a rank differs from the first rank, with
// both call sites and ranks; where that is no longer kept, says so. `rings` by rank, from Encode();
// `names` are the ranks' numbers in messages.
[[noreturn]] void RequireSameOrder(const std::vector<std::string>& rings,
                                   const std::vector<int>& names);

}  // namespace vesalius::dist
