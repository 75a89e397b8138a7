#include "model/vision.h"

#include "data/record.h"

namespace vesalius::model {

using data::kRegions;

PatchEmbed::PatchEmbed(Initialiser& init, int channels, int patch_size, int width) {
  const std::int64_t inputs = std::int64_t{channels} * patch_size * patch_size;
  auto proj = register_module("proj", std::make_shared<torch::nn::Module>());
  weight_ = proj->register_parameter(
      "weight", init.Linear({width, channels, patch_size, patch_size}, inputs));
  bias_ = proj->register_parameter("bias", init.Linear({width}, inputs));
}

at::Tensor PatchEmbed::Forward(const at::Tensor& image) const {
  const std::int64_t n = image.size(0), channels = image.size(1), p = weight_.size(2);
  const std::int64_t side = image.size(2) / p;
  const at::Tensor cells = image.reshape({n, channels, side, p, side, p})
                               .permute({0, 2, 4, 1, 3, 5})
                               .reshape({n, side * side, channels * p * p});
  return at::linear(cells, weight_.flatten(1), bias_);
}

VisionTransformer::VisionTransformer(Initialiser& init, const VisionConfig& config)
    : config_(config) {
  const std::int64_t width = config.width;
  patch_embed_ = register_module(
      "patch_embed",
      std::make_shared<PatchEmbed>(init, config.channels, config.patch_size, config.width));
  const bool sincos = config.positions == "sincos";
  at::Tensor positions = init.TruncatedNormal({1, 1 + config.patches(), width}, 0.02);
  if (sincos) {
    const int side = config.image_size / config.patch_size;
    positions.slice(1, 1).copy_((SineCosine2d(side, config.width) * config.token_std).unsqueeze(0));
  }
  const double token_std = sincos ? config.token_std : 0.02;
  cls_token_ = register_parameter("cls_token", init.Normal({1, 1, width}, token_std));
  pos_embed_ = register_parameter("pos_embed", positions);
  anatomy_tokens_ =
      register_parameter("anatomy_tokens", init.Normal({1, kRegions, width}, token_std));
  anatomy_pos_ =
      register_parameter("anatomy_pos", init.TruncatedNormal({1, kRegions, width}, 0.02));

  auto blocks = register_module("blocks", std::make_shared<torch::nn::Module>());
  for (int i = 0; i < config.depth; ++i)
    blocks_.push_back(blocks->register_module(
        std::to_string(i), std::make_shared<Block>(init, width, config.heads, config.mlp, 1e-6,
                                                   Block::Order::kPreNorm)));
  norm_ = register_module("norm", std::make_shared<LayerNorm>(width, 1e-6));
}

VisionTransformer::Output VisionTransformer::Forward(const at::Tensor& image,
                                                     const Dropout& dropout) const {
  const std::int64_t n = image.size(0), patches = config_.patches(), width = config_.width;
  const at::Tensor cls = (cls_token_ + pos_embed_.slice(1, 0, 1)).expand({n, 1, width});
  const at::Tensor anatomy = (anatomy_tokens_ + anatomy_pos_).expand({n, kRegions, width});
  at::Tensor x = at::cat({cls, patch_embed_->Forward(image) + pos_embed_.slice(1, 1), anatomy}, 1);
  for (std::size_t i = 0; i < blocks_.size(); ++i) x = blocks_[i]->Forward(x, {}, dropout, i);
  x = norm_->Forward(x);
  return {x.select(1, 0), x.slice(1, 1, 1 + patches), x.slice(1, 1 + patches)};
}

}  // namespace vesalius::model
