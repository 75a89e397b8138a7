#include "ops/box.h"

namespace vesalius::ops {
namespace {

using at::indexing::Ellipsis;
using at::indexing::None;
using at::indexing::Slice;

constexpr double kEps = 1e-7;

at::Tensor Low(const at::Tensor& box) { return box.index({Ellipsis, Slice(None, 2)}); }
at::Tensor High(const at::Tensor& box) { return box.index({Ellipsis, Slice(2, None)}); }
at::Tensor Area(const at::Tensor& box) { return (High(box) - Low(box)).prod(-1); }

}  // namespace

at::Tensor CornersFromCentre(const at::Tensor& box) {
  const at::Tensor half = High(box) / 2;
  return at::cat({Low(box) - half, Low(box) + half}, -1);
}

std::pair<at::Tensor, at::Tensor> IouGiou(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor overlap =
      (at::minimum(High(a), High(b)) - at::maximum(Low(a), Low(b))).clamp_min(0).prod(-1);
  const at::Tensor unite = Area(a) + Area(b) - overlap;
  const at::Tensor hull = (at::maximum(High(a), High(b)) - at::minimum(Low(a), Low(b))).prod(-1);
  const at::Tensor iou = overlap / (unite + kEps);
  return {iou, iou - (hull - unite) / (hull + kEps)};
}

}  // namespace vesalius::ops
