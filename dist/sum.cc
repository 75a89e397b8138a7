#include "dist/sum.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "base/error.h"

namespace vesalius::dist {
namespace {

constexpr std::int64_t kBlock = 2048;  // elements that stay in the first-level cache while summed

template <typename T>
T Plus(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using Unsigned = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
  } else {
    return a + b;
  }
}

// out = a + b; out may be a or b.
template <typename T>
void Add(const T* a, const T* b, T* out, std::int64_t n) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) out[i] = Plus(a[i], b[i]);
}

template <typename T>
void Sum(std::span<const void* const> sources, std::span<void* const> destinations,
         std::int64_t count) {
  alignas(64) T buffer[kBlock];
  for (std::int64_t start = 0; start < count; start += kBlock) {
    const std::int64_t n = std::min(kBlock, count - start);
    const auto source = [&](std::size_t s) { return static_cast<const T*>(sources[s]) + start; };
    const auto destination = [&](std::size_t d) {
      return static_cast<T*>(destinations[d]) + start;
    };
    // A destination may be a source that is still to be added, but not where there are only two.
    T* block = sources.size() == 2 ? destination(0) : buffer;
    if (sources.size() == 1) {
      std::memcpy(block, source(0), n * sizeof(T));
    } else {
      Add(source(0), source(1), block, n);
    }
    for (std::size_t s = 2; s < sources.size(); ++s) Add(block, source(s), block, n);
    for (std::size_t d = 0; d < destinations.size(); ++d) {
      if (destination(d) != block) std::memcpy(destination(d), block, n * sizeof(T));
    }
  }
}

float FromBFloat16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

std::uint16_t ToBFloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (value != value) return static_cast<std::uint16_t>((bits >> 16) | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

void SumBFloat16(std::span<const void* const> sources, std::span<void* const> destinations,
                 std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    float sum = FromBFloat16(static_cast<const std::uint16_t*>(sources[0])[i]);
    for (std::size_t s = 1; s < sources.size(); ++s) {
      sum += FromBFloat16(static_cast<const std::uint16_t*>(sources[s])[i]);
    }
    for (void* out : destinations) static_cast<std::uint16_t*>(out)[i] = ToBFloat16(sum);
  }
}

}  // namespace

void SumInRankOrder(DType type, std::span<const void* const> sources,
                    std::span<void* const> destinations, std::int64_t count) {
  switch (type) {
    case DType::kFloat32:
      return Sum<float>(sources, destinations, count);
    case DType::kFloat64:
      return Sum<double>(sources, destinations, count);
    case DType::kBFloat16:
      return SumBFloat16(sources, destinations, count);
    case DType::kInt32:
      return Sum<std::int32_t>(sources, destinations, count);
    case DType::kInt64:
      return Sum<std::int64_t>(sources, destinations, count);
    case DType::kUInt8:
      return Sum<std::uint8_t>(sources, destinations, count);
  }
  Fail(ExitCode::kBug, "internal error: no sum for this data type");
}

}  // namespace vesalius::dist
