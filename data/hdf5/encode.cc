#include "data/hdf5/encode.h"

#include <libdeflate.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "data/hdf5/filters.h"

namespace vesalius::data {
namespace {

constexpr double kWorthDeflating = 0.94;  // of a plane's size

std::string Shuffle(std::span<const unsigned char> in, std::size_t element) {
  std::string out(in.size(), '\0');
  const std::size_t n = in.size() / element;
  for (std::size_t k = 0; k < element; ++k)
    for (std::size_t i = 0; i < n; ++i) out[k * n + i] = static_cast<char>(in[i * element + k]);
  std::memcpy(out.data() + n * element, in.data() + n * element, in.size() - n * element);
  return out;
}

// Raw deflate blocks, the last marked final (RFC 1951).
std::string Blocks(std::string_view in) {
  struct Free {
    void operator()(libdeflate_compressor* c) const { libdeflate_free_compressor(c); }
  };
  thread_local const std::unique_ptr<libdeflate_compressor, Free> compressor(
      libdeflate_alloc_compressor(kDeflateLevel));
  std::string out(libdeflate_deflate_compress_bound(compressor.get(), in.size()), '\0');
  const std::size_t size =
      libdeflate_deflate_compress(compressor.get(), in.data(), in.size(), out.data(), out.size());
  Invariant(size > 0, "libdeflate needs more than its bound");
  out.resize(size);
  return out;
}

// The first planes of `plane` bytes that deflate would hardly make smaller, in bytes: the low bytes
// of a radiograph's pixels are noise.
std::size_t NoisePrefix(std::string_view in, std::size_t plane) {
  std::size_t noise = 0;
  while (noise + plane <= in.size() && static_cast<double>(Blocks(in.substr(noise, plane)).size()) >
                                           kWorthDeflating * static_cast<double>(plane))
    noise += plane;
  return noise;
}

// A zlib stream (RFC 1950) whose first `plain` bytes lie in stored blocks, which are inflated at
// the speed of a copy.
std::string Zlib(std::string_view in, std::size_t plain) {
  constexpr std::size_t kLongest = 65535;
  std::string out = "\x78\x01";
  for (std::size_t at = 0; at < plain; at += kLongest) {
    const std::size_t size = std::min(kLongest, plain - at);
    out += '\0';
    for (const std::size_t field : {size, ~size}) {
      out += static_cast<char>(field);
      out += static_cast<char>(field >> 8);
    }
    out += in.substr(at, size);
  }
  out += Blocks(in.substr(plain));
  const std::uint32_t adler = libdeflate_adler32(1, in.data(), in.size());
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(adler >> shift);
  return out;
}

}  // namespace

std::string EncodeChunk(std::span<const unsigned char> values, std::size_t element,
                        const ChunkFilters& filters) {
  const bool shuffled = filters.shuffle && element > 1;
  std::string bytes =
      shuffled ? Shuffle(values, element)
               : std::string(reinterpret_cast<const char*>(values.data()), values.size());
  if (filters.deflate)
    bytes = Zlib(bytes, shuffled ? NoisePrefix(bytes, bytes.size() / element) : 0);
  if (filters.fletcher32) {
    const std::uint32_t sum =
        Fletcher32({reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()});
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(sum >> shift);
  }
  return bytes;
}

}  // namespace vesalius::data
