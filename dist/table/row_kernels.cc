#include "dist/table/row_kernels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "dist/table/layout.h"

// Wider vectors where the processor has them, without fused multiply-add: the same bits everywhere.
#define VESALIUS_WIDE __attribute__((target_clones("avx2", "default")))

namespace vesalius::dist {
namespace {

constexpr std::int64_t kAhead = 8;  // rows fetched before their turn
constexpr std::int64_t kLine = 64;  // bytes

template <int kWrite, typename T>
inline void Prefetch(const T* row, std::int64_t width) {
  const auto* bytes = reinterpret_cast<const char*>(row);
  for (std::int64_t i = 0; i < width * static_cast<std::int64_t>(sizeof(T)); i += kLine)
    __builtin_prefetch(bytes + i, kWrite);
}

VESALIUS_WIDE void AddTo(float* __restrict sum, const float* __restrict x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) sum[i] += x[i];
}
VESALIUS_WIDE void AddTo(double* __restrict sum, const double* __restrict x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) sum[i] += x[i];
}

// In a fixed tree; unrolled, the compiler makes vectors of it.
template <typename T>
inline __attribute__((always_inline)) double BlockSquares(const T* x) {
  double squares[kColumnBlock];
  for (int i = 0; i < kColumnBlock; ++i) {
    const double value = x[i];
    squares[i] = value * value;
  }
#pragma GCC unroll 4
  for (int half = kColumnBlock / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) squares[i] += squares[i + half];
  return squares[0];
}
// The last block is filled up with zeros.
template <typename T, typename Visit>
inline __attribute__((always_inline)) void EachBlock(const T* x, std::int64_t n,
                                                     const Visit& visit) {
  std::int64_t i = 0;
  for (; i + kColumnBlock <= n; i += kColumnBlock) visit(BlockSquares(x + i));
  if (i == n) return;
  T rest[kColumnBlock] = {};
  std::copy(x + i, x + n, rest);
  visit(BlockSquares(rest));
}
template <typename T>
inline __attribute__((always_inline)) double Squares(const T* x, std::int64_t n) {
  double sum = 0;
  EachBlock(x, n, [&](double squares) { sum += squares; });
  return sum;
}
VESALIUS_WIDE double SumSquares(const float* x, std::int64_t n) { return Squares(x, n); }
VESALIUS_WIDE double SumSquares(const double* x, std::int64_t n) { return Squares(x, n); }

VESALIUS_WIDE void Subtract(float* __restrict w, const float* __restrict g, float factor,
                            std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) w[i] -= factor * g[i];
}
VESALIUS_WIDE void Subtract(double* __restrict w, const double* __restrict g, double factor,
                            std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) w[i] -= factor * g[i];
}

// Factors of one row's Adam step.
template <typename T>
struct AdamFactors {
  T decay1, decay2;  // beta^k
  T add1, add2;      // (1 - beta1) * scale, (1 - beta2) * scale^2
  T rate;            // lr / (1 - beta1^step)
  T correct2, eps;   // 1 / sqrt(1 - beta2^step)
};
template <typename T>
inline __attribute__((always_inline)) void AdamLoop(T* __restrict w, T* __restrict m,
                                                    T* __restrict v, const T* __restrict g,
                                                    const AdamFactors<T>& f, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T m1 = f.decay1 * m[i] + f.add1 * g[i];
    const T v1 = f.decay2 * v[i] + f.add2 * (g[i] * g[i]);
    m[i] = m1;
    v[i] = v1;
    w[i] -= f.rate * m1 / (std::sqrt(v1) * f.correct2 + f.eps);
  }
}
VESALIUS_WIDE void AdamRow(float* w, float* m, float* v, const float* g,
                           const AdamFactors<float>& f, std::int64_t n) {
  AdamLoop(w, m, v, g, f, n);
}
VESALIUS_WIDE void AdamRow(double* w, double* m, double* v, const double* g,
                           const AdamFactors<double>& f, std::int64_t n) {
  AdamLoop(w, m, v, g, f, n);
}

constexpr std::int64_t kGaps = 256;

// beta1^k and beta2^k.
template <typename T>
std::array<T, 2> Decay(const AdamUpdate<T>& update, std::int64_t k) {
  return {static_cast<T>(std::pow(update.beta1, static_cast<double>(k))),
          static_cast<T>(std::pow(update.beta2, static_cast<double>(k)))};
}

// Calls visit(u, gradient of u) with the sums of [begin, end), fetching
// what comes next: gradient rows, and through `fetch(u)` what the visitor will touch.
template <typename T, typename Fetch, typename Visit>
inline void ForEachSum(const GradientRows<T>& in, std::int64_t begin, std::int64_t end,
                       const Fetch& fetch, const Visit& visit) {
  std::vector<T> sum(static_cast<std::size_t>(in.width));
  const auto bytes = static_cast<std::size_t>(in.width) * sizeof(T);
  const auto row = [&](std::int64_t at) { return in.rows + in.positions[at] * in.width; };
  for (std::int64_t u = begin; u < end; ++u) {
    if (u + kAhead < end) {
      fetch(u + kAhead);
      Prefetch<0>(row(in.offsets[u + kAhead]), in.width);
    }
    const std::int64_t first = in.offsets[u], last = in.offsets[u + 1];
    if (last - first == 1) {
      visit(u, row(first));
      continue;
    }
    std::memcpy(sum.data(), row(first), bytes);
    for (std::int64_t at = first + 1; at < last; ++at) {
      if (at + kAhead < last) Prefetch<0>(row(at + kAhead), in.width);
      AddTo(sum.data(), row(at), in.width);
    }
    visit(u, sum.data());
  }
}

constexpr auto kFetchNothing = [](std::int64_t) {};

}  // namespace

template <typename T, typename Id>
void GatherRows(const T* table, std::int64_t width, const Id* ids, std::int64_t begin,
                std::int64_t end, T* out) {
  const auto bytes = static_cast<std::size_t>(width) * sizeof(T);
  for (std::int64_t i = begin; i < end; ++i) {
    if (i + kAhead < end) Prefetch<0>(table + ids[i + kAhead] * width, width);
    std::memcpy(out + i * width, table + ids[i] * width, bytes);
  }
}

template <typename T>
void SumRows(const GradientRows<T>& gradients, std::int64_t begin, std::int64_t end, T* out) {
  const std::int64_t width = gradients.width;
  ForEachSum(gradients, begin, end, kFetchNothing, [&](std::int64_t u, const T* sum) {
    std::memcpy(out + u * width, sum, static_cast<std::size_t>(width) * sizeof(T));
  });
}

template <typename T>
void SumSquaresOfBlocks(const GradientRows<T>& gradients, std::int64_t begin, std::int64_t end,
                        std::int64_t stride, double* out) {
  ForEachSum(gradients, begin, end, kFetchNothing, [&](std::int64_t u, const T* sum) {
    double* of_block = out + u * stride;
    EachBlock(sum, gradients.width, [&](double squares) { *of_block++ = squares; });
  });
}

template <typename T>
void ApplyAdagrad(const AdagradUpdate<T>& update, const GradientRows<T>& gradients,
                  const std::int64_t* ids, std::int64_t begin, std::int64_t end) {
  const std::int64_t width = gradients.width;
  const double scale2 = update.scale * update.scale;
  const std::int64_t blocks = ColumnBlocks(update.full_width);
  const auto fetch = [&](std::int64_t u) {
    __builtin_prefetch(update.state + ids[u], 1);
    Prefetch<1>(update.table + ids[u] * width, width);
  };
  ForEachSum(gradients, begin, end, fetch, [&](std::int64_t u, const T* sum) {
    const std::int64_t row = ids[u];
    const double squares =
        update.squares == nullptr
            ? SumSquares(sum, width)
            : std::accumulate(update.squares + u * blocks, update.squares + (u + 1) * blocks, 0.0);
    T& h = update.state[row];
    h += static_cast<T>(squares * scale2 / static_cast<double>(update.full_width));
    const double factor =
        update.lr * update.scale / (std::sqrt(static_cast<double>(h)) + update.eps);
    Subtract(update.table + row * width, sum, static_cast<T>(factor), width);
  });
}

template <typename T>
void ApplyAdam(const AdamUpdate<T>& update, const GradientRows<T>& gradients,
               const std::int64_t* ids, std::int64_t begin, std::int64_t end) {
  const std::int64_t width = gradients.width;
  const auto step = static_cast<double>(update.step);
  AdamFactors<T> factors{T{0},
                         T{0},
                         static_cast<T>((1 - update.beta1) * update.scale),
                         static_cast<T>((1 - update.beta2) * update.scale * update.scale),
                         static_cast<T>(update.lr / (1 - std::pow(update.beta1, step))),
                         static_cast<T>(1 / std::sqrt(1 - std::pow(update.beta2, step))),
                         static_cast<T>(update.eps)};
  std::array<std::array<T, 2>, kGaps> decay;  // of short gaps
  for (std::int64_t k = 0; k < kGaps; ++k) decay[k] = Decay(update, k);
  const auto fetch = [&](std::int64_t u) {
    __builtin_prefetch(update.last + ids[u], 1);
    Prefetch<1>(update.table + ids[u] * width, width);
    Prefetch<1>(update.moment1 + ids[u] * width, width);
    Prefetch<1>(update.moment2 + ids[u] * width, width);
  };
  ForEachSum(gradients, begin, end, fetch, [&](std::int64_t u, const T* sum) {
    const std::int64_t row = ids[u];
    const std::int64_t gap = update.step - update.last[row];
    const std::array<T, 2> decays = gap < kGaps ? decay[gap] : Decay(update, gap);
    factors.decay1 = decays[0];
    factors.decay2 = decays[1];
    update.last[row] = static_cast<std::int32_t>(update.step);
    AdamRow(update.table + row * width, update.moment1 + row * width, update.moment2 + row * width,
            sum, factors, width);
  });
}

#define VESALIUS_ROWS(T)                                                                        \
  template void GatherRows<T, std::int64_t>(const T*, std::int64_t, const std::int64_t*,        \
                                            std::int64_t, std::int64_t, T*);                    \
  template void GatherRows<T, std::int32_t>(const T*, std::int64_t, const std::int32_t*,        \
                                            std::int64_t, std::int64_t, T*);                    \
  template void SumRows<T>(const GradientRows<T>&, std::int64_t, std::int64_t, T*);             \
  template void SumSquaresOfBlocks<T>(const GradientRows<T>&, std::int64_t, std::int64_t,       \
                                      std::int64_t, double*);                                   \
  template void ApplyAdagrad<T>(const AdagradUpdate<T>&, const GradientRows<T>&,                \
                                const std::int64_t*, std::int64_t, std::int64_t);               \
  template void ApplyAdam<T>(const AdamUpdate<T>&, const GradientRows<T>&, const std::int64_t*, \
                             std::int64_t, std::int64_t);
VESALIUS_ROWS(float)
VESALIUS_ROWS(double)
#undef VESALIUS_ROWS

}  // namespace vesalius::dist
