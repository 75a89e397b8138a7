// What the CPU and the CUDA kernel of sum_squares share; free of torch and CUDA headers.
//
// A sum that no order can change (after Demmel & Nguyen, "Parallel reproducible summation", 2015):
// squares of kSquaresBlock consecutive elements are added in float64 in one fixed order
// (kSquareLanes interleaved sums, element i to lane i % lanes, folded by halves), and block sums
// are added exactly, as integers, into limbs of 32 bits each. Limbs of parts of a tensor that are
// cut between blocks add up to the limbs of the whole, whatever the parts.
#pragma once

#include <cstdint>

namespace vesalius::ops {

inline constexpr int kSquaresBlock = 64, kSquareLanes = 8;

// limbs[k] counts 2^(32 k - kLimbBias); then how many blocks are infinite (2^500 and more count as
// such) and how many are not a number. What lies below 2^-kLimbBias is dropped, block by block.
inline constexpr int kSquareLimbs = 34, kLimbBias = 512;
inline constexpr int kInfiniteBlocks = kSquareLimbs, kNanBlocks = kSquareLimbs + 1;
inline constexpr int kSquareSlots = kSquareLimbs + 2;

// The non-zero parts of one block's sum: added to slots[first], slots[first + 1], slots[first + 2].
struct LimbParts {
  int first = 0;
  std::uint64_t part[3] = {0, 0, 0};
};

// `bits`: of a float64 that is not negative.
#ifdef __CUDACC__
__host__ __device__
#endif
    inline LimbParts
    SplitIntoLimbs(std::uint64_t bits) {
  LimbParts out;
  const int exponent = static_cast<int>(bits >> 52 & 0x7FF);
  std::uint64_t mantissa = bits & ((std::uint64_t{1} << 52) - 1);
  if (exponent == 0x7FF || exponent >= 1023 + 500) {
    const bool nan = exponent == 0x7FF && mantissa != 0;
    out.first = nan ? kNanBlocks - 2 : kInfiniteBlocks - 2;
    out.part[2] = 1;
    return out;
  }
  if (exponent > 0) mantissa |= std::uint64_t{1} << 52;
  int position = (exponent > 0 ? exponent : 1) - 1075 + kLimbBias;  // of its lowest bit
  if (position < 0) {
    mantissa = position <= -64 ? 0 : mantissa >> -position;
    position = 0;
  }
  out.first = position / 32;
  const int shift = position % 32;
  const std::uint64_t low = (mantissa & 0xFFFFFFFF) << shift;
  const std::uint64_t high = ((mantissa >> 32) << shift) + (low >> 32);
  out.part[0] = low & 0xFFFFFFFF;
  out.part[1] = high & 0xFFFFFFFF;
  out.part[2] = high >> 32;
  return out;
}

// Puts the kernel on `stream` (a cudaStream_t): adds x's squares to slots[kSquareSlots]. x: device
// memory of `count` elements, float64 or float32. Returns the launch's cudaError_t. Defined in the
// CUDA plug-in.
int LaunchSumSquares(const void* x, bool is_double, std::int64_t count, std::int64_t* slots,
                     void* stream);

}  // namespace vesalius::ops
