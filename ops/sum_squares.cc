#include "ops/sum_squares.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <array>
#include <bit>
#include <mutex>

#include "base/error.h"
#include "ops/sum_squares_kernel.h"

namespace vesalius::ops {
namespace {

template <typename T>
double BlockSum(const T* x) {
  std::array<double, kSquareLanes> lanes{};
  for (int i = 0; i < kSquaresBlock; i += kSquareLanes) {
    for (int lane = 0; lane < kSquareLanes; ++lane) {
      const double value = x[i + lane];
      lanes[lane] += value * value;
    }
  }
  for (int half = kSquareLanes / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

using Slots = std::array<std::int64_t, kSquareSlots>;

template <typename T>
void AddBlocks(const T* x, std::int64_t begin, std::int64_t end, Slots& slots) {
  for (std::int64_t i = begin; i < end; i += kSquaresBlock) {
    double sum;
    if (i + kSquaresBlock <= end) {
      sum = BlockSum(x + i);
    } else {
      std::array<T, kSquaresBlock> padded{};
      std::copy(x + i, x + end, padded.begin());
      sum = BlockSum(padded.data());
    }
    const LimbParts parts = SplitIntoLimbs(std::bit_cast<std::uint64_t>(sum));
    for (int k = 0; k < 3; ++k) slots[parts.first + k] += static_cast<std::int64_t>(parts.part[k]);
  }
}

template <typename T>
void Sum(const T* x, std::int64_t count, std::int64_t* out) {
  constexpr std::int64_t kGrain = 512;  // blocks
  std::mutex mutex;
  const std::int64_t blocks = (count + kSquaresBlock - 1) / kSquaresBlock;
  at::parallel_for(0, blocks, kGrain, [&](std::int64_t begin, std::int64_t end) {
    Slots slots{};
    AddBlocks(x, begin * kSquaresBlock, std::min(end * kSquaresBlock, count), slots);
    const std::lock_guard lock(mutex);
    for (int k = 0; k < kSquareSlots; ++k) out[k] += slots[k];
  });
}

at::Tensor SumSquaresCpu(const at::Tensor& x) {
  Invariant(x.is_contiguous(), "sum_squares wants a contiguous tensor");
  const bool single = x.scalar_type() == at::kFloat;
  Invariant(single || x.scalar_type() == at::kDouble, "sum_squares wants float32 or float64");
  at::Tensor slots = at::zeros({kSquareSlots}, at::kLong);
  std::int64_t* out = slots.mutable_data_ptr<std::int64_t>();
  if (single) {
    Sum(x.const_data_ptr<float>(), x.numel(), out);
  } else {
    Sum(x.const_data_ptr<double>(), x.numel(), out);
  }
  return slots;
}

}  // namespace

TORCH_LIBRARY_IMPL(vesalius, CPU, m) { m.impl("sum_squares", &SumSquaresCpu); }

at::Tensor ExactSumSquares(const at::Tensor& x) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("vesalius::sum_squares", "")
                             .typed<at::Tensor(const at::Tensor&)>();
  return op.call(x);
}

at::Tensor ValueOfSum(const at::Tensor& slots) {
  const at::Tensor wide = slots.to(at::kDouble);
  const at::Tensor exponents = at::arange(kSquareLimbs, wide.options()) * 32 - kLimbBias;
  const at::Tensor sum = (wide.narrow(0, 0, kSquareLimbs) * at::exp2(exponents)).sum();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  return sum.masked_fill(slots[kInfiniteBlocks] > 0, kInfinity)
      .masked_fill(slots[kNanBlocks] > 0, kNan);
}

at::Tensor SumSquares(const at::Tensor& x) { return ValueOfSum(ExactSumSquares(x)); }

}  // namespace vesalius::ops
