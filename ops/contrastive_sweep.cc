#include "ops/contrastive_sweep.h"

#include <limits>

#include "ops/contrastive_exp.h"

namespace vesalius::ops {
namespace {

template <typename T>
VESALIUS_INLINE T LargestOf(const Tile<T>& tile) {
  T largest = -std::numeric_limits<T>::infinity();
  const std::int64_t count = tile.rows * tile.cols;
  const T* l = tile.l;
#pragma omp simd reduction(max : largest)
  for (std::int64_t k = 0; k < count; ++k) largest = l[k] > largest ? l[k] : largest;
  return largest;
}

template <typename T>
VESALIUS_INLINE void ExpSumsOf(const Tile<T>& tile, T reference, T* __restrict row_sums,
                               T* __restrict column_sums) {
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    const T* __restrict l = tile.l + i * tile.cols;
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t j = 0; j < tile.cols; ++j) {
      const T e = Exp(l[j] - reference);
      sum += e;
      column_sums[j] += e;
    }
    row_sums[i] = sum;
  }
}

template <typename T>
VESALIUS_INLINE void CoefficientsOf(const Tile<T>& tile, T reference, const T* __restrict a,
                                    const T* __restrict b) {
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    T* __restrict l = tile.l + i * tile.cols;
    const T of_row = a[i];
#pragma omp simd
    for (std::int64_t j = 0; j < tile.cols; ++j) l[j] = Exp(l[j] - reference) * (of_row + b[j]);
  }
}

template <typename T>
VESALIUS_INLINE void TwoCoefficientsOf(const Tile<T>& tile, const T* __restrict r,
                                       const T* __restrict c, T row_weight, T column_weight) {
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    T* __restrict l = tile.l + i * tile.cols;
    const T of_row = r[i];
#pragma omp simd
    for (std::int64_t j = 0; j < tile.cols; ++j)
      l[j] = row_weight * Exp(l[j] - of_row) + column_weight * Exp(l[j] - c[j]);
  }
}

template <typename T>
VESALIUS_INLINE SigmoidSums SigmoidTermsOf(const Tile<T>& tile, T bias) {
  SigmoidSums total;
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    T* __restrict l = tile.l + i * tile.cols;
    T loss = 0, sigmoid = 0;
#pragma omp simd reduction(+ : loss, sigmoid)
    for (std::int64_t j = 0; j < tile.cols; ++j) {
      // Without branches, or it is not vectorised; -1e4 stands for -infinity.
      const T in = l[j] + bias, x = in > T{-1e4} ? in : T{-1e4}, size = std::abs(x);
      const T e = Exp(-size), inverse = T{1} / (T{1} + e);
      const T of_pair = x > 0 ? inverse : e * inverse;
      loss += (x + size) * T{0.5} + Log1p(e);
      sigmoid += of_pair;
      l[j] = of_pair;
    }
    total.loss += loss;
    total.sigmoid += sigmoid;
  }
  return total;
}

}  // namespace

template <>
VESALIUS_CLONES float Largest(const Tile<float>& tile) {
  return LargestOf(tile);
}
template <>
double Largest(const Tile<double>& tile) {
  return LargestOf(tile);
}

template <>
VESALIUS_CLONES void ExpSums(const Tile<float>& tile, float reference, float* row_sums,
                             float* column_sums) {
  ExpSumsOf(tile, reference, row_sums, column_sums);
}
template <>
void ExpSums(const Tile<double>& tile, double reference, double* row_sums, double* column_sums) {
  ExpSumsOf(tile, reference, row_sums, column_sums);
}

template <>
VESALIUS_CLONES void Coefficients(const Tile<float>& tile, float reference, const float* a,
                                  const float* b) {
  CoefficientsOf(tile, reference, a, b);
}
template <>
void Coefficients(const Tile<double>& tile, double reference, const double* a, const double* b) {
  CoefficientsOf(tile, reference, a, b);
}

template <>
VESALIUS_CLONES void TwoCoefficients(const Tile<float>& tile, const float* r, const float* c,
                                     float row_weight, float column_weight) {
  TwoCoefficientsOf(tile, r, c, row_weight, column_weight);
}
template <>
void TwoCoefficients(const Tile<double>& tile, const double* r, const double* c, double row_weight,
                     double column_weight) {
  TwoCoefficientsOf(tile, r, c, row_weight, column_weight);
}

template <>
VESALIUS_CLONES SigmoidSums SigmoidTerms(const Tile<float>& tile, float bias) {
  return SigmoidTermsOf(tile, bias);
}
template <>
SigmoidSums SigmoidTerms(const Tile<double>& tile, double bias) {
  return SigmoidTermsOf(tile, bias);
}

}  // namespace vesalius::ops
