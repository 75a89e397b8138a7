#include "model/knowledge.h"

#include <ATen/ATen.h>

namespace vesalius::model {
namespace {

// Starts of the logits: a scale as of image labels; more is denied than affirmed.
constexpr double kScale = 10, kBias = -1;

}  // namespace

KnowledgeAttention::KnowledgeAttention(Initialiser& init, std::int64_t width,
                                       std::int64_t row_width, std::int64_t heads)
    : heads_(heads) {
  norm_region_ = register_module("norm_region", std::make_shared<LayerNorm>(width, 1e-6));
  norm_row_ = register_module("norm_row", std::make_shared<LayerNorm>(row_width, 1e-6));
  query_ = register_module("query", std::make_shared<Linear>(init, width, width));
  key_ = register_module("key", std::make_shared<Linear>(init, row_width, width));
  value_ = register_module("value", std::make_shared<Linear>(init, row_width, width));
  out_ = register_module("out", std::make_shared<Linear>(init, width, width));
  gate_ = register_parameter("gate", at::zeros({}));
  scale_ = register_parameter("scale", at::full({}, std::log(kScale)));
  bias_ = register_parameter("bias", at::full({}, kBias));
}

at::Tensor KnowledgeAttention::Forward(const at::Tensor& regions, const at::Tensor& rows,
                                       const at::Tensor& valid) const {
  const std::int64_t m = regions.size(1), width = regions.size(2), r = rows.size(2);
  const std::int64_t each = width / heads_;
  const at::Tensor from = norm_row_->Forward(rows);
  const at::Tensor query =
      query_->Forward(norm_region_->Forward(regions)).view({regions.size(0), m, heads_, 1, each});
  const auto of_heads = [&](const at::Tensor& x) {  // [n, M, h, R, each]
    return x.view({rows.size(0), m, r, heads_, each}).transpose(2, 3);
  };
  const at::Tensor key = of_heads(key_->Forward(from)), value = of_heads(value_->Forward(from));
  at::Tensor scores = (query * key).sum(-1) / std::sqrt(static_cast<double>(each));
  scores = scores.masked_fill(valid.unsqueeze(2).logical_not(), -1e9);
  const at::Tensor found = (scores.softmax(-1).unsqueeze(-1) * value).sum(3);
  return regions + gate_.tanh() * out_->Forward(found.reshape({regions.size(0), m, width}));
}

at::Tensor KnowledgeAttention::Logits(const at::Tensor& regions, const at::Tensor& concepts) const {
  return scale_.exp() * (regions.unsqueeze(2) * concepts.unsqueeze(0)).sum(-1) + bias_;
}

}  // namespace vesalius::model
