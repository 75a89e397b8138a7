// Sum of squares that does not depend on the order of summation: the gradient norm is the same
// number on every rank, at every thread count, for every split into buckets and shards that cuts
// between blocks of 64 elements (sum_squares_kernel.h).
#pragma once

#include <ATen/core/Tensor.h>

namespace vesalius::ops {

// x: contiguous float32 or float64 of any shape -> int64 [kSquareSlots] on x's device, an exact
// total: totals of parts add up, in any order, to that of the whole. The operator
// vesalius::sum_squares, whose CUDA kernel comes with the plug-in.
at::Tensor ExactSumSquares(const at::Tensor& x);

// What such a total stands for: 0-dim float64 on its device; inf or NaN where x held any.
at::Tensor ValueOfSum(const at::Tensor& slots);

// Both: 0-dim float64.
at::Tensor SumSquares(const at::Tensor& x);

}  // namespace vesalius::ops
