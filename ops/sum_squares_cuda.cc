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
  const auto options = x.options().dtype(at::kDouble);
  at::Tensor partials = at::empty({SumSquaresPartials(x.numel())}, options);
  at::Tensor out = at::empty({}, options);
  const int result = LaunchSumSquares(
      x.const_data_ptr(), is_double, x.numel(), partials.mutable_data_ptr<double>(),
      out.mutable_data_ptr<double>(), c10::cuda::getCurrentCUDAStream().stream());
  Require(result == 0, ExitCode::kNodeUnhealthy, "the sum_squares kernel failed: CUDA error ",
          result);
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(vesalius, CUDA, m) { m.impl("sum_squares", &SumSquaresCuda); }

}  // namespace vesalius::ops
