// sum_squares on the GPU: eight threads a block of 64 elements, whose order of additions is that of
// the CPU kernel; products and sums are rounded one by one (no fused multiply-add), so that the
// results are equal bit for bit. Integers are added by atomics, whose order cannot matter.
#include <cuda_runtime.h>

#include "ops/sum_squares_kernel.h"

namespace vesalius::ops {
namespace {

constexpr int kThreads = 256, kBlocksAtOnce = kThreads / kSquareLanes;

template <typename T>
__global__ void AddSquares(const T* x, std::int64_t count, unsigned long long* slots) {
  __shared__ unsigned long long mine[kSquareSlots];
  for (int k = threadIdx.x; k < kSquareSlots; k += kThreads) mine[k] = 0;
  __syncthreads();
  const int lane = threadIdx.x % kSquareLanes;
  const std::int64_t blocks = (count + kSquaresBlock - 1) / kSquaresBlock;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kBlocksAtOnce;
  for (std::int64_t at = blockIdx.x * static_cast<std::int64_t>(kBlocksAtOnce); at < blocks;
       at += stride) {
    const std::int64_t block = at + threadIdx.x / kSquareLanes;
    double sum = 0;
    for (int i = lane; i < kSquaresBlock; i += kSquareLanes) {
      const std::int64_t element = block * kSquaresBlock + i;
      const double value = element < count ? static_cast<double>(x[element]) : 0.0;
      sum = __dadd_rn(sum, __dmul_rn(value, value));
    }
    for (int half = kSquareLanes / 2; half > 0; half /= 2)
      sum = __dadd_rn(sum, __shfl_down_sync(0xFFFFFFFF, sum, half, kSquareLanes));
    if (lane != 0 || block >= blocks) continue;
    const LimbParts parts = SplitIntoLimbs(__double_as_longlong(sum));
    for (int k = 0; k < 3; ++k)
      if (parts.part[k] != 0) atomicAdd(&mine[parts.first + k], parts.part[k]);
  }
  __syncthreads();
  for (int k = threadIdx.x; k < kSquareSlots; k += kThreads)
    if (mine[k] != 0) atomicAdd(&slots[k], mine[k]);
}

}  // namespace

int LaunchSumSquares(const void* x, bool is_double, std::int64_t count, std::int64_t* slots,
                     void* stream) {
  if (count == 0) return cudaSuccess;
  const auto on = static_cast<cudaStream_t>(stream);
  const std::int64_t needed = (count + kThreads * 8 - 1) / (kThreads * 8);
  const auto grid = static_cast<unsigned>(needed < 1024 ? needed : 1024);
  auto* out = reinterpret_cast<unsigned long long*>(slots);
  if (is_double) {
    AddSquares<<<grid, kThreads, 0, on>>>(static_cast<const double*>(x), count, out);
  } else {
    AddSquares<<<grid, kThreads, 0, on>>>(static_cast<const float*>(x), count, out);
  }
  return cudaGetLastError();
}

}  // namespace vesalius::ops
