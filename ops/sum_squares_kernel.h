// What the CPU and the CUDA kernel of sum_squares share; free of torch and CUDA headers.
#pragma once

#include <cstdint>

namespace vesalius::ops {

// Elements of one partial sum. Partials are summed in float64 in index order; within a partial,
// kSumSquaresLanes interleaved sums (element i goes to lane i % lanes) are folded by halves. Both
// kernels do exactly this, and agree bit for bit.
inline constexpr std::int64_t kSumSquaresPartial = std::int64_t{64} * 1024;
inline constexpr int kSumSquaresLanes = 256;

inline std::int64_t SumSquaresPartials(std::int64_t count) {
  return (count + kSumSquaresPartial - 1) / kSumSquaresPartial;
}

// Puts the kernels on `stream` (a cudaStream_t). x: device memory of `count` elements, float64 or
// float32; partials: device memory of SumSquaresPartials(count); out: one float64. Returns the
// launch's cudaError_t. Defined in the CUDA plug-in.
int LaunchSumSquares(const void* x, bool is_double, std::int64_t count, double* partials,
                     double* out, void* stream);

}  // namespace vesalius::ops
