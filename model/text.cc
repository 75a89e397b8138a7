#include "model/text.h"

namespace vesalius::model {

TextEncoder::TextEncoder(Initialiser& init, const TextConfig& config, int embed_dim)
    : config_(config) {
  const std::int64_t width = config.width;
  auto embeddings = register_module("embeddings", std::make_shared<torch::nn::Module>());
  at::Tensor words = init.Normal({config.vocabulary, width}, 0.02);
  words[0].zero_();  // [PAD]
  words_ = embeddings->register_parameter("word_embeddings", words);
  positions_ = embeddings->register_parameter("position_embeddings",
                                              init.Normal({config.positions, width}, 0.02));
  token_type_ = embeddings->register_parameter("token_type_embeddings",
                                               init.Normal({2, width}, 0.02));
  norm_ = embeddings->register_module("norm", std::make_shared<LayerNorm>(width, 1e-12));
  auto layers = register_module("layers", std::make_shared<torch::nn::Module>());
  for (int i = 0; i < config.depth; ++i)
    layers_.push_back(layers->register_module(
        std::to_string(i), std::make_shared<Block>(init, width, config.heads, config.mlp, 1e-12,
                                                   Block::Order::kPostNorm)));
  projection_ =
      register_module("projection", std::make_shared<Linear>(init, width, embed_dim, false));
}

at::Tensor TextEncoder::Hidden(const at::Tensor& ids) const {
  const std::int64_t t = ids.size(1);
  const at::Tensor mask = ids.ne(0).view({ids.size(0), 1, 1, t});
  at::Tensor x = at::embedding(words_, ids, /*padding_idx=*/0) +
                 (positions_.slice(0, 0, t) + token_type_.slice(0, 0, 1));
  x = norm_->Forward(x);
  for (const auto& layer : layers_) x = layer->Forward(x, mask);
  return x;
}

at::Tensor TextEncoder::Forward(const at::Tensor& ids) const {
  at::Tensor pooled;
  if (ids.size(0) == 0) {
    pooled = words_.slice(0, 0, 0);
  } else if (config_.pooling == "cls") {
    pooled = Hidden(ids).select(1, 0);
  } else {
    const at::Tensor hidden = Hidden(ids);
    const at::Tensor keep = ids.ne(0).to(hidden.scalar_type()).unsqueeze(-1);
    pooled = (hidden * keep).sum(1) / keep.sum(1).clamp_min(1);
  }
  return L2Normalise(projection_->Forward(pooled));
}

}  // namespace vesalius::model
