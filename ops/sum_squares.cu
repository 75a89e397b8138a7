// sum_squares on the GPU: one block a partial, then one thread adds the partials in index order.
// The order of every addition is that of the CPU kernel; products and sums are rounded one by one
// (no fused multiply-add), so that the results are equal bit for bit.
#include <cuda_runtime.h>

#include "ops/sum_squares_kernel.h"

namespace vesalius::ops {
namespace {

template <typename T>
__global__ void Partials(const T* x, std::int64_t count, double* partials) {
  __shared__ double lanes[kSumSquaresLanes];
  const std::int64_t start = blockIdx.x * kSumSquaresPartial;
  const std::int64_t left = count - start;
  const std::int64_t n = left < kSumSquaresPartial ? left : kSumSquaresPartial;
  const int lane = threadIdx.x;
  double sum = 0;
  for (std::int64_t i = lane; i < n; i += kSumSquaresLanes) {
    const double value = x[start + i];
    sum = __dadd_rn(sum, __dmul_rn(value, value));
  }
  lanes[lane] = sum;
  __syncthreads();
  for (int half = kSumSquaresLanes / 2; half > 0; half /= 2) {
    if (lane < half) lanes[lane] = __dadd_rn(lanes[lane], lanes[lane + half]);
    __syncthreads();
  }
  if (lane == 0) partials[blockIdx.x] = lanes[0];
}

__global__ void AddPartials(const double* partials, std::int64_t count, double* out) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum = __dadd_rn(sum, partials[i]);
  *out = sum;
}

}  // namespace

int LaunchSumSquares(const void* x, bool is_double, std::int64_t count, double* partials,
                     double* out, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  const std::int64_t blocks = SumSquaresPartials(count);
  const auto grid = static_cast<unsigned>(blocks);
  if (blocks > 0 && is_double) {
    Partials<<<grid, kSumSquaresLanes, 0, on>>>(static_cast<const double*>(x), count, partials);
  } else if (blocks > 0) {
    Partials<<<grid, kSumSquaresLanes, 0, on>>>(static_cast<const float*>(x), count, partials);
  }
  AddPartials<<<1, 1, 0, on>>>(partials, blocks, out);
  return cudaGetLastError();
}

}  // namespace vesalius::ops
