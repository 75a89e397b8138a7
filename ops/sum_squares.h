// Sum of squares with one fixed order of summation, so that the gradient norm is the same number on
// every rank, at every thread count and for every split into buckets.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vesalius::ops {

// Elements of one partial sum. Partials are summed in float64 in index order; within a partial,
// kSumSquaresLanes interleaved sums (element i goes to lane i % lanes) are folded by halves: both
// the CPU and the CUDA kernel do exactly this, and agree bit for bit.
inline constexpr std::int64_t kSumSquaresPartial = 64 * 1024;
inline constexpr int kSumSquaresLanes = 256;

// x: contiguous float32 or float64 of any shape -> 0-dim float64 tensor on x's device. Calls the
// operator vesalius::sum_squares, whose CUDA kernel comes with the plug-in.
at::Tensor SumSquares(const at::Tensor& x);

}  // namespace vesalius::ops
