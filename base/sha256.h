// SHA-256 (FIPS 180-4), for comparing with digests that other programs compute. Not fast.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

namespace vesalius {

inline std::string Sha256Hex(std::string message) {
  // The constants: first 32 bits of the fractional parts of square and cube roots of the primes.
  static const auto constants = [] {
    std::pair<std::array<std::uint32_t, 64>, std::array<std::uint32_t, 8>> c;
    const auto fraction = [](long double x) {
      return static_cast<std::uint32_t>((x - std::floor(x)) * 4294967296.0L);
    };
    int found = 0;
    for (int n = 2; found < 64; ++n) {
      bool prime = true;
      for (int d = 2; d * d <= n; ++d) prime = prime && n % d != 0;
      if (!prime) continue;
      c.first[found] = fraction(std::cbrt(static_cast<long double>(n)));
      if (found < 8) c.second[found] = fraction(std::sqrt(static_cast<long double>(n)));
      ++found;
    }
    return c;
  }();
  const auto rotate = [](std::uint32_t x, int n) { return x >> n | x << (32 - n); };
  std::array<std::uint32_t, 8> state = constants.second;
  const std::uint64_t bits = message.size() * 8;
  message += '\x80';
  while (message.size() % 64 != 56) message += '\0';
  for (int shift = 56; shift >= 0; shift -= 8) message += static_cast<char>(bits >> shift);
  for (std::size_t block = 0; block < message.size(); block += 64) {
    std::array<std::uint32_t, 64> w;
    for (int i = 0; i < 16; ++i) {
      w[i] = 0;
      for (int b = 0; b < 4; ++b)
        w[i] = w[i] << 8 | static_cast<unsigned char>(message[block + i * 4 + b]);
    }
    for (int i = 16; i < 64; ++i)
      w[i] = w[i - 16] + w[i - 7] +
             (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3) +
             (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
    auto [a, b, c, d, e, f, g, h] = state;
    for (int i = 0; i < 64; ++i) {
      const std::uint32_t t1 = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
                               ((e & f) ^ (~e & g)) + constants.first[i] + w[i];
      const std::uint32_t t2 =
          (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    const std::array<std::uint32_t, 8> add{a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; ++i) state[i] += add[i];
  }
  std::string hex;
  for (const std::uint32_t word : state) {
    char digits[9];
    std::snprintf(digits, sizeof(digits), "%08x", word);
    hex += digits;
  }
  return hex;
}

}  // namespace vesalius
