// Multi-positive softmax cross-entropy, the one kernel of all contrastive losses.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

namespace vesalius::ops {

// logits [R, U]; truth [R, U] int8: 1 positive, 0 negative, -1 ignored (left out of the softmax).
// Along `dim`, every line with at least one positive contributes
//   -1/|P| sum_{u in P} log softmax(line)_u        (SupCon's L_out; Khosla et al., 2020, eq. 2)
// Returns (sum of contributions, number of contributing lines), both 0-dim in logits' type. A fully
// ignored line adds exactly zero to loss and gradient.
std::pair<at::Tensor, at::Tensor> MultiPositiveCrossEntropy(const at::Tensor& logits,
                                                            const at::Tensor& truth, int dim);

}  // namespace vesalius::ops
