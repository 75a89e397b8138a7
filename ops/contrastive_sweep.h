// The element-wise passes of the contrastive losses over one tile of logits on the CPU: what lies
// between their matrix products. Every pass takes one exponential per pair. Each function is
// compiled for several instruction sets and picked when the program starts; float64 is plain, for
// proofs. A logit of -infinity is a pair that is left out: it adds nothing anywhere.
#pragma once

#include <cstdint>

namespace vesalius::ops {

// Rows lie one after another without gaps: l[rows * cols].
template <typename T>
struct Tile {
  T* l;
  std::int64_t rows, cols;
};

template <typename T>
T Largest(const Tile<T>& tile);  // -infinity for a tile without pairs

// e = exp(l - reference), reference >= every l: row_sums[i] = sum_j e, column_sums[j] += sum_i e.
template <typename T>
void ExpSums(const Tile<T>& tile, T reference, T* row_sums, T* column_sums);

// l_ij <- exp(l_ij - reference) * (a_i + b_j), where l - reference <= 80.
template <typename T>
void Coefficients(const Tile<T>& tile, T reference, const T* a, const T* b);

// l_ij <- row_weight * exp(l_ij - r_i) + column_weight * exp(l_ij - c_j), for r and c too far apart
// for one reference; a line with an infinite r or c adds nothing.
template <typename T>
void TwoCoefficients(const Tile<T>& tile, const T* r, const T* c, T row_weight, T column_weight);

struct SigmoidSums {
  double loss = 0, sigmoid = 0;
};
// l <- sigmoid(l + bias); returns sum log(1 + exp(l + bias)) and the sum of the new l.
template <typename T>
SigmoidSums SigmoidTerms(const Tile<T>& tile, T bias);

}  // namespace vesalius::ops
