// Checksums and hashes. CRC-32C guards bytes on disk; 64- and 128-bit hashes (XXH3) name texts,
// data sets and parameters. None is cryptographic.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vesalius {

// CRC-32C (Castagnoli), continuing from `crc`; SSE4.2 where the processor has it.
std::uint32_t Crc32c(const void* data, std::size_t bytes, std::uint32_t crc = 0);

// CRC-32C of each `block` bytes and of what is left; several blocks at a time, since one checksum
// leaves most of the processor idle.
std::vector<std::uint32_t> Crc32cBlocks(const void* data, std::size_t bytes, std::size_t block);

// XXH3-64 of the bytes.
std::uint64_t Hash64(std::string_view bytes);

// A bijective finaliser (SplitMix64): spreads consecutive integers.
std::uint64_t Mix64(std::uint64_t x);

// 16 lower-case hexadecimal digits.
std::string Hex64(std::uint64_t value);

// A streaming 128-bit digest (XXH3-128) for long or split content.
class Digest {
 public:
  Digest();
  ~Digest();
  void Add(const void* data, std::size_t bytes);
  void Add(std::string_view text);  // with its length, so that fields cannot run together
  void Add(std::int64_t value);
  std::string Hex() const;  // 32 lower-case hexadecimal digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vesalius
