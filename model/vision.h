// The vision tower: a ViT (Dosovitskiy et al., 2021) whose sequence carries 29 anatomy query tokens
// beside CLS and patches (Anatomy-VLM; wiring as in YOLOS: one encoder, full self-attention).
// Names follow timm: patch_embed.proj, cls_token, pos_embed, blocks.N.{norm1,attn.qkv,...}, norm.
#pragma once

#include "model/config.h"
#include "model/layers.h"

namespace vesalius::model {

// Kernel = stride: a convolution that is a matrix product over unfolded patches.
class PatchEmbed : public torch::nn::Module {
 public:
  PatchEmbed(Initialiser& init, int channels, int patch_size, int width);
  // image [n, C, S, S] -> [n, (S/p)^2, D], patches in row-major order.
  at::Tensor Forward(const at::Tensor& image) const;

 private:
  at::Tensor weight_, bias_;  // [D, C, p, p], [D]
};

class VisionTransformer : public torch::nn::Module {
 public:
  VisionTransformer(Initialiser& init, const VisionConfig& config);

  struct Output {
    at::Tensor cls;      // [n, D]
    at::Tensor patches;  // [n, N, D]
    at::Tensor regions;  // [n, 29, D]
  };
  // image [n, channels, size, size].
  Output Forward(const at::Tensor& image, const Dropout& dropout = {}) const;

 private:
  VisionConfig config_;
  std::shared_ptr<PatchEmbed> patch_embed_;
  at::Tensor cls_token_, pos_embed_, anatomy_tokens_, anatomy_pos_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::shared_ptr<LayerNorm> norm_;
};

}  // namespace vesalius::model
