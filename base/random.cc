#include "base/random.h"

#include <cmath>

#include "base/hash.h"

namespace vesalius {

std::array<std::uint32_t, 4> Philox(std::array<std::uint32_t, 4> c,
                                    std::array<std::uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
    k[0] += 0x9E3779B9;
    k[1] += 0xBB67AE85;
  }
  return c;
}

// Key = mix(seed, purpose); the high counter words = mix(a, b); the low words count blocks.
Random::Random(std::uint64_t seed, Purpose purpose, std::uint64_t a, std::uint64_t b) {
  const std::uint64_t key = Mix64(seed ^ Mix64(static_cast<std::uint64_t>(purpose)));
  const std::uint64_t name = Mix64(a ^ Mix64(b + 0x9E3779B97F4A7C15));
  key_ = {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)};
  counter_ = {0, 0, static_cast<std::uint32_t>(name), static_cast<std::uint32_t>(name >> 32)};
}

std::uint32_t Random::Next32() {
  if (used_ == 4) {
    block_ = Philox(counter_, key_);
    if (++counter_[0] == 0) ++counter_[1];
    used_ = 0;
  }
  return block_[used_++];
}

std::uint64_t Random::Next64() {
  const std::uint64_t low = Next32();
  return low | std::uint64_t{Next32()} << 32;
}

double Random::Uniform() { return static_cast<double>(Next64() >> 11) * 0x1.0p-53; }

double Random::Uniform(double low, double high) { return low + (high - low) * Uniform(); }

double Random::Normal() {
  const double u = 1.0 - Uniform();  // (0, 1]
  const double v = Uniform();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * M_PI * v);
}

std::uint64_t Random::Below(std::uint64_t n) {
  const std::uint64_t limit = -n % n;  // 2^64 mod n: reject below it
  std::uint64_t x = Next64();
  while (x < limit) x = Next64();
  return x % n;
}

}  // namespace vesalius
