#include "data/hdf5/filters.h"

#include <libdeflate.h>
#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <memory>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/error.h"

namespace vesalius::data {
namespace {

constexpr int kDeflate = 1, kShuffle = 2, kFletcher32 = 3, kLzf = 32000, kLz4 = 32004,
              kZstd = 32015;

using Bytes = std::span<const unsigned char>;

template <typename... Parts>
void Valid(bool ok, const Parts&... parts) {
  Require(ok, ExitCode::kInvalidData, parts...);
}

std::size_t Inflate(Bytes in, std::span<unsigned char> out) {
  struct Free {
    void operator()(libdeflate_decompressor* d) const { libdeflate_free_decompressor(d); }
  };
  thread_local const std::unique_ptr<libdeflate_decompressor, Free> decompressor(
      libdeflate_alloc_decompressor());
  std::size_t size = 0;
  const auto result = libdeflate_zlib_decompress(decompressor.get(), in.data(), in.size(),
                                                 out.data(), out.size(), &size);
  Valid(result == LIBDEFLATE_SUCCESS, "a deflated chunk is damaged");
  return size;
}

std::size_t FromZstd(Bytes in, std::span<unsigned char> out) {
  const std::size_t size = ZSTD_decompress(out.data(), out.size(), in.data(), in.size());
  Valid(ZSTD_isError(size) == 0, "a chunk compressed by Zstandard is damaged");
  return size;
}

std::uint64_t BigEndian(const unsigned char* at, int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value = value << 8 | at[i];
  return value;
}

// The layout of the registered filter 32004: whole size (8), size of a block (4), then of each
// block its stored size (4) and bytes; all sizes big-endian; a block as large as it would be is not
// compressed.
std::size_t FromLz4(Bytes in, std::span<unsigned char> out) {
  constexpr const char* kDamaged = "a chunk compressed by LZ4 is damaged";
  Valid(in.size() >= 12, kDamaged);
  const std::uint64_t whole = BigEndian(in.data(), 8), block = BigEndian(in.data() + 8, 4);
  Valid(whole <= out.size() && block > 0, kDamaged);
  std::size_t at = 12;
  for (std::uint64_t done = 0; done < whole;) {
    const std::uint64_t size = std::min(block, whole - done);
    Valid(in.size() - at >= 4, kDamaged);
    const std::uint64_t stored = BigEndian(in.data() + at, 4);
    at += 4;
    Valid(stored <= in.size() - at, kDamaged);
    if (stored == size) {
      std::memcpy(out.data() + done, in.data() + at, size);
    } else {
      const int made = LZ4_decompress_safe(reinterpret_cast<const char*>(in.data() + at),
                                           reinterpret_cast<char*>(out.data() + done),
                                           static_cast<int>(stored), static_cast<int>(size));
      Valid(made == static_cast<int>(size), kDamaged);
    }
    at += stored;
    done += size;
  }
  return whole;
}

// LibLZF, h5py's filter 32000: runs of literals, and copies of what lies at most 8 KiB back.
std::size_t FromLzf(Bytes in, std::span<unsigned char> out) {
  constexpr const char* kDamaged = "a chunk compressed by LZF is damaged";
  std::size_t at = 0, done = 0;
  while (at < in.size()) {
    const std::size_t control = in[at++];
    if (control < 32) {
      const std::size_t run = control + 1;
      Valid(run <= in.size() - at && run <= out.size() - done, kDamaged);
      std::memcpy(out.data() + done, in.data() + at, run);
      at += run;
      done += run;
      continue;
    }
    std::size_t run = control >> 5;
    Valid(in.size() - at >= (run == 7 ? 2u : 1u), kDamaged);
    if (run == 7) run += in[at++];
    run += 2;
    const std::size_t back = ((control & 31) << 8 | in[at++]) + 1;
    Valid(back <= done && run <= out.size() - done, kDamaged);
    for (; run > 0; --run, ++done) out[done] = out[done - back];  // they may overlap
  }
  return done;
}

// Elements of two bytes, the case of 16-bit images.
void Interleave(const unsigned char* low, const unsigned char* high, std::size_t n,
                unsigned char* out) {
  std::size_t i = 0;
#ifdef __SSE2__
  for (; i + 16 <= n; i += 16) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(low + i));
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(high + i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * i), _mm_unpacklo_epi8(a, b));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * i + 16), _mm_unpackhi_epi8(a, b));
  }
#endif
  for (; i < n; ++i) {
    out[2 * i] = low[i];
    out[2 * i + 1] = high[i];
  }
}

// Byte k of element i lies at k * n + i.
void Unshuffle(Bytes in, std::size_t element, unsigned char* out) {
  const std::size_t n = element > 0 ? in.size() / element : 0;
  if (element == 2) {
    Interleave(in.data(), in.data() + n, n, out);
  } else {
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t k = 0; k < element; ++k) out[i * element + k] = in[k * n + i];
  }
  std::memcpy(out + n * element, in.data() + n * element, in.size() - n * element);
}

// Over 16-bit big-endian words, a last odd byte being the high one of its word (Fletcher, 1982).
std::uint32_t Fletcher32(Bytes in) {
  std::uint32_t a = 0, b = 0;
  std::size_t words = in.size() / 2, at = 0;
  while (words > 0) {
    // b grows by n a and by the sum of (n - i) times word i: sums that do not wait for each other.
    const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(words, 360));
    std::uint32_t sum = 0, weighted = 0;
    for (std::uint32_t i = 0; i < n; ++i, at += 2) {
      const std::uint32_t word = static_cast<std::uint32_t>(in[at]) << 8 | in[at + 1];
      sum += word;
      weighted += (n - i) * word;
    }
    b += n * a + weighted;
    a += sum;
    words -= n;
    a = (a & 0xffff) + (a >> 16);
    b = (b & 0xffff) + (b >> 16);
  }
  if (in.size() % 2 != 0) {
    a += static_cast<std::uint32_t>(in[at]) << 8;
    b += a;
    a = (a & 0xffff) + (a >> 16);
    b = (b & 0xffff) + (b >> 16);
  }
  a = (a & 0xffff) + (a >> 16);
  b = (b & 0xffff) + (b >> 16);
  return b << 16 | a;
}

// The checksum behind the bytes, little-endian; versions before 1.6.3 swapped the bytes of each
// half.
Bytes CheckFletcher32(Bytes in) {
  Valid(in.size() >= 4, "a chunk is shorter than its checksum");
  const Bytes content = in.first(in.size() - 4);
  std::uint32_t stored = 0;
  for (int i = 3; i >= 0; --i) stored = stored << 8 | in[content.size() + i];
  const std::uint32_t sum = Fletcher32(content);
  const std::uint32_t swapped = (sum & 0x00ff00ffU) << 8 | (sum >> 8 & 0x00ff00ffU);
  Valid(stored == sum || stored == swapped, "a chunk has a wrong Fletcher-32 checksum");
  return content;
}

bool Known(int id) {
  return id == kDeflate || id == kShuffle || id == kFletcher32 || id == kLzf || id == kLz4 ||
         id == kZstd;
}

}  // namespace

std::string UnknownFilter(const Hdf5Array& array) {
  for (const FilterStep& filter : array.filters)
    if (!Known(filter.id)) return StrCat("filter ", filter.id);
  return "";
}

void DecodeChunk(const Hdf5Array& array, Bytes in, std::uint32_t skipped, unsigned char* out,
                 FilterScratch& scratch) {
  const std::size_t whole = array.chunk_bytes(), room = whole + 4 * array.filters.size();
  int last = -1;  // the filter that is undone last writes to `out`
  for (std::size_t i = array.filters.size(); i-- > 0;)
    if ((skipped >> i & 1) == 0)
      last = array.filters[i].id == kFletcher32 ? -1 : static_cast<int>(i);
  bool in_out = false;
  for (std::size_t i = array.filters.size(); i-- > 0;) {
    if ((skipped >> i & 1) != 0) continue;
    const FilterStep& filter = array.filters[i];
    if (filter.id == kFletcher32) {
      in = CheckFletcher32(in);
      continue;
    }
    const bool ends = static_cast<int>(i) == last;
    std::vector<unsigned char>& other = in.data() == scratch.a.data() ? scratch.b : scratch.a;
    if (!ends) other.resize(room);
    const std::span<unsigned char> to = ends ? std::span(out, whole) : std::span(other);
    std::size_t size = in.size();
    if (filter.id == kDeflate) {
      size = Inflate(in, to);
    } else if (filter.id == kLz4) {
      size = FromLz4(in, to);
    } else if (filter.id == kZstd) {
      size = FromZstd(in, to);
    } else if (filter.id == kLzf) {
      size = FromLzf(in, to);
    } else {
      Valid(in.size() <= to.size(), "a chunk is longer than its shape");
      const std::size_t element = filter.values.empty() ? array.type.bytes : filter.values[0];
      Unshuffle(in, element, to.data());
    }
    in = to.first(size);
    in_out = ends;
  }
  Valid(in.size() == whole, "a chunk holds ", in.size(), " bytes instead of ", whole);
  if (!in_out) std::memcpy(out, in.data(), whole);
}

}  // namespace vesalius::data
