// Box geometry on tensors. Boxes are [..., 4]; computed in the boxes' own float type.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

namespace vesalius::ops {

// (cx, cy, w, h) -> (x0, y0, x1, y1).
at::Tensor CornersFromCentre(const at::Tensor& box);

// Pairwise IoU and generalised IoU (Rezatofighi et al., CVPR 2019, eq. 4-5) of two tensors of equal
// shape [..., 4] in corner form -> two tensors [...]. Degenerate unions are guarded by 1e-7.
std::pair<at::Tensor, at::Tensor> IouGiou(const at::Tensor& a, const at::Tensor& b);

}  // namespace vesalius::ops
