#include "data/hdf5/encode.h"

#include <libdeflate.h>

#include <cstring>
#include <memory>

#include "base/error.h"
#include "data/hdf5/filters.h"

namespace vesalius::data {
namespace {

std::string Shuffle(std::span<const unsigned char> in, std::size_t element) {
  std::string out(in.size(), '\0');
  const std::size_t n = in.size() / element;
  for (std::size_t k = 0; k < element; ++k)
    for (std::size_t i = 0; i < n; ++i) out[k * n + i] = static_cast<char>(in[i * element + k]);
  std::memcpy(out.data() + n * element, in.data() + n * element, in.size() - n * element);
  return out;
}

std::string Deflate(const std::string& in) {
  struct Free {
    void operator()(libdeflate_compressor* c) const { libdeflate_free_compressor(c); }
  };
  thread_local const std::unique_ptr<libdeflate_compressor, Free> compressor(
      libdeflate_alloc_compressor(kDeflateLevel));
  std::string out(libdeflate_zlib_compress_bound(compressor.get(), in.size()), '\0');
  const std::size_t size =
      libdeflate_zlib_compress(compressor.get(), in.data(), in.size(), out.data(), out.size());
  Invariant(size > 0, "libdeflate needs more than its bound");
  out.resize(size);
  return out;
}

}  // namespace

std::string EncodeChunk(std::span<const unsigned char> values, std::size_t element,
                        const ChunkFilters& filters) {
  std::string bytes =
      filters.shuffle && element > 1
          ? Shuffle(values, element)
          : std::string(reinterpret_cast<const char*>(values.data()), values.size());
  if (filters.deflate) bytes = Deflate(bytes);
  if (filters.fletcher32) {
    const std::uint32_t sum =
        Fletcher32({reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()});
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(sum >> shift);
  }
  return bytes;
}

}  // namespace vesalius::data
