// The kernels of the contrastive losses on one tile of logits l_ij = scale * x_i . y_j, between the
// matrix products that make the logits and use the coefficients (Oord et al., 2018; Zhai et al.,
// 2023). A pair that is left out has the logit -infinity. CPU kernels run on fixed strips of rows,
// so results do not depend on the number of threads; other devices compose LibTorch calls. The
// operators are vesalius::contrastive_lse, ::contrastive_coefficients and ::sigmoid_terms.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

namespace vesalius::ops {

// logits [m, n] contiguous, float32 or float64 -> log sum exp over each row [m] and over each
// column [n], float64. One exponential per pair with the tile's largest logit as reference; lines
// that vanish beside it are redone with their own, so the result is right at any scale. -infinity
// for a line without pairs.
std::pair<at::Tensor, at::Tensor> ContrastiveLse(const at::Tensor& logits);

// In place: l_ij <- row_weight * exp(l_ij - r_i) + column_weight * exp(l_ij - c_j). r [m] and c [n]
// float64, not below the log-sum-exp of any tile of their line; +infinity: the line adds nothing.
// One exponential per pair unless r and c spread over more than 60.
void ContrastiveCoefficients(const at::Tensor& logits, const at::Tensor& r, const at::Tensor& c,
                             double row_weight, double column_weight);

// In place l <- sigmoid(l + bias); returns float64 [2]: sum log(1 + exp(l + bias)), and the sum of
// the sigmoids.
at::Tensor SigmoidTerms(const at::Tensor& logits, double bias);

}  // namespace vesalius::ops
