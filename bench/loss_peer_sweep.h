// The element-wise passes that only the peers of `bench loss` need, beside ops/contrastive_sweep.h.
#pragma once

#include "ops/contrastive_sweep.h"

namespace vesalius::bench {

// Online softmax of rows: raises largest[i] to the row's, rescales sums[i] and adds the row to it.
void OnlineRows(const ops::Tile<float>& tile, float* largest, float* sums);

// l_ij <- weight * exp(l_ij - lse_i).
void RowCoefficients(const ops::Tile<float>& tile, const float* lse, float weight);

}  // namespace vesalius::bench
