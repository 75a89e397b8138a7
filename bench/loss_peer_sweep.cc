#include "bench/loss_peer_sweep.h"

#include "ops/contrastive_exp.h"

namespace vesalius::bench {

VESALIUS_CLONES void OnlineRows(const ops::Tile<float>& tile, float* largest, float* sums) {
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    const float* l = tile.l + i * tile.cols;
    float reference = largest[i];
#pragma omp simd reduction(max : reference)
    for (std::int64_t j = 0; j < tile.cols; ++j) reference = l[j] > reference ? l[j] : reference;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t j = 0; j < tile.cols; ++j) sum += ops::Exp(l[j] - reference);
    sums[i] = sums[i] * ops::Exp(largest[i] - reference) + sum;
    largest[i] = reference;
  }
}

VESALIUS_CLONES void RowCoefficients(const ops::Tile<float>& tile, const float* lse, float weight) {
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    float* l = tile.l + i * tile.cols;
    const float of_row = lse[i];
#pragma omp simd
    for (std::int64_t j = 0; j < tile.cols; ++j) l[j] = weight * ops::Exp(l[j] - of_row);
  }
}

}  // namespace vesalius::bench
