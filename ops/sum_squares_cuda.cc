// Registers the CUDA kernel of vesalius::sum_squares; part of the CUDA plug-in.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "base/error.h"
#include "ops/sum_squares_kernel.h"

namespace vesalius::ops {
namespace {

at::Tensor SumSquaresCuda(const at::Tensor& x) {
  Invariant(x.is_contiguous(), "sum_squares wants a contiguous tensor");
  const bool is_double = x.scalar_type() == at::kDouble;
  Invariant(is_double || x.scalar_type() == at::kFloat, "sum_squares wants float32 or float64");
  const c10::cuda::CUDAGuard guard(x.device());
  at::Tensor slots = at::zeros({kSquareSlots}, x.options().dtype(at::kLong));
  const int result = LaunchSumSquares(x.const_data_ptr(), is_double, x.numel(),
                                      slots.mutable_data_ptr<std::int64_t>(),
                                      c10::cuda::getCurrentCUDAStream().stream());
  Require(result == 0, ExitCode::kNodeUnhealthy, "the sum_squares kernel failed: CUDA error ",
          result);
  return slots;
}

}  // namespace

TORCH_LIBRARY_IMPL(vesalius, CUDA, m) { m.impl("sum_squares", &SumSquaresCuda); }

}  // namespace vesalius::ops
