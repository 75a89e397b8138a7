#include "base/hash.h"

#include <nmmintrin.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

namespace vesalius {
namespace {

constexpr std::array<std::uint32_t, 256> MakeTable() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ (c & 1 ? 0x82F63B78u : 0);
    table[i] = c;
  }
  return table;
}
constexpr auto kTable = MakeTable();

std::uint32_t Portable(const unsigned char* p, std::size_t n, std::uint32_t c) {
  while (n-- > 0) c = kTable[(c ^ *p++) & 0xFF] ^ (c >> 8);
  return c;
}

__attribute__((target("sse4.2"))) std::uint32_t Sse42(const unsigned char* p, std::size_t n,
                                                      std::uint32_t c) {
  std::uint64_t wide = c;
  for (; n >= 8; n -= 8, p += 8) {
    std::uint64_t word;
    std::memcpy(&word, p, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  c = static_cast<std::uint32_t>(wide);
  for (; n > 0; --n) c = _mm_crc32_u8(c, *p++);
  return c;
}

// Three blocks of `n` bytes side by side: an instruction takes three cycles and starts every cycle.
__attribute__((target("sse4.2"))) void Sse42Three(const unsigned char* p, std::size_t n,
                                                  std::uint32_t* out) {
  std::uint64_t c[3] = {~0u, ~0u, ~0u};
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 3; ++k) {
      std::uint64_t word;
      std::memcpy(&word, p + static_cast<std::size_t>(k) * n + i, 8);
      c[k] = _mm_crc32_u64(c[k], word);
    }
  for (int k = 0; k < 3; ++k)
    out[k] =
        ~Sse42(p + static_cast<std::size_t>(k) * n + i, n - i, static_cast<std::uint32_t>(c[k]));
}

}  // namespace

std::uint32_t Crc32c(const void* data, std::size_t bytes, std::uint32_t crc) {
  static const bool kHardware = __builtin_cpu_supports("sse4.2");
  const auto* p = static_cast<const unsigned char*>(data);
  return ~(kHardware ? Sse42(p, bytes, ~crc) : Portable(p, bytes, ~crc));
}

std::vector<std::uint32_t> Crc32cBlocks(const void* data, std::size_t bytes, std::size_t block) {
  static const bool kHardware = __builtin_cpu_supports("sse4.2");
  const auto* p = static_cast<const unsigned char*>(data);
  std::vector<std::uint32_t> crcs((bytes + block - 1) / block);
  std::size_t done = 0;
  if (kHardware)
    for (; (done + 3) * block <= bytes; done += 3) Sse42Three(p + done * block, block, &crcs[done]);
  for (; done < crcs.size(); ++done)
    crcs[done] = Crc32c(p + done * block, std::min(block, bytes - done * block));
  return crcs;
}

std::uint64_t Hash64(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::uint64_t Mix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

std::string Hex64(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(value));
  return text;
}

struct Digest::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

Digest::Digest() : state_(std::make_unique<State>()) { XXH3_128bits_reset(state_->xxh); }
Digest::~Digest() = default;

void Digest::Add(const void* data, std::size_t bytes) {
  XXH3_128bits_update(state_->xxh, data, bytes);
}

void Digest::Add(std::string_view text) {
  Add(static_cast<std::int64_t>(text.size()));
  Add(text.data(), text.size());
}

void Digest::Add(std::int64_t value) { Add(&value, sizeof(value)); }

std::string Digest::Hex() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh);
  return Hex64(hash.high64) + Hex64(hash.low64);
}

}  // namespace vesalius
