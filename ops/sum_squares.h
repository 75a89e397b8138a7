// Sum of squares with one fixed order of summation, so that the gradient norm is the same number on
// every rank, at every thread count and for every split into buckets (sum_squares_kernel.h).
#pragma once

#include <ATen/core/Tensor.h>

namespace vesalius::ops {

// x: contiguous float32 or float64 of any shape -> 0-dim float64 tensor on x's device. Calls the
// operator vesalius::sum_squares, whose CUDA kernel comes with the plug-in.
at::Tensor SumSquares(const at::Tensor& x);

}  // namespace vesalius::ops
