#include "ops/sum_squares.h"

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <array>

#include "base/error.h"
#include "ops/sum_squares_kernel.h"

namespace vesalius::ops {
namespace {

template <typename T>
double Partial(const T* x, std::int64_t count) {
  std::array<double, kSumSquaresLanes> lanes{};
  std::int64_t i = 0;
  for (; i + kSumSquaresLanes <= count; i += kSumSquaresLanes) {
    for (int lane = 0; lane < kSumSquaresLanes; ++lane) {
      const double value = x[i + lane];
      lanes[lane] += value * value;
    }
  }
  for (int lane = 0; i + lane < count; ++lane) {
    const double value = x[i + lane];
    lanes[lane] += value * value;
  }
  for (int half = kSumSquaresLanes / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

template <typename T>
double Sum(const T* x, std::int64_t count) {
  const std::int64_t parts = SumSquaresPartials(count);
  std::vector<double> partials(static_cast<std::size_t>(parts));
  at::parallel_for(0, parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      const std::int64_t start = p * kSumSquaresPartial;
      partials[p] = Partial(x + start, std::min(kSumSquaresPartial, count - start));
    }
  });
  double sum = 0;
  for (double partial : partials) sum += partial;
  return sum;
}

at::Tensor SumSquaresCpu(const at::Tensor& x) {
  Invariant(x.is_contiguous(), "sum_squares wants a contiguous tensor");
  const bool single = x.scalar_type() == at::kFloat;
  Invariant(single || x.scalar_type() == at::kDouble, "sum_squares wants float32 or float64");
  return at::scalar_tensor(single ? Sum(x.const_data_ptr<float>(), x.numel())
                                  : Sum(x.const_data_ptr<double>(), x.numel()),
                           at::kDouble);
}

}  // namespace

TORCH_LIBRARY_IMPL(vesalius, CPU, m) { m.impl("sum_squares", &SumSquaresCpu); }

at::Tensor SumSquares(const at::Tensor& x) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("vesalius::sum_squares", "")
                             .typed<at::Tensor(const at::Tensor&)>();
  return op.call(x);
}

}  // namespace vesalius::ops
