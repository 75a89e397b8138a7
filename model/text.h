// The text tower: BERT (Devlin et al., 2019; post-norm, exact GELU, eps 1e-12) and a linear
// projection into the shared space. Attention keeps q, k and v in one matrix; export splits it into
// Hugging Face's names (trainer/export.cc).
#pragma once

#include "model/config.h"
#include "model/layers.h"

namespace vesalius::model {

class TextEncoder : public torch::nn::Module {
 public:
  TextEncoder(Initialiser& init, const TextConfig& config, int embed_dim);

  // ids [n, t] int64, 0 = padding -> last hidden states [n, t, H].
  at::Tensor Hidden(const at::Tensor& ids, const Dropout& dropout = {}) const;
  // ids [n, t] -> unit vectors [n, d]; no rows give an empty [0, d] that still takes part in
  // autograd. Texts of similar length are encoded together, so that little is computed on padding.
  at::Tensor Forward(const at::Tensor& ids, const Dropout& dropout = {}) const;

 private:
  at::Tensor Pooled(const at::Tensor& ids, const Dropout& dropout) const;  // [n, t] -> [n, H]
  TextConfig config_;
  at::Tensor words_, positions_, token_type_;
  std::shared_ptr<LayerNorm> norm_;
  std::vector<std::shared_ptr<Block>> layers_;
  std::shared_ptr<Linear> projection_;
};

}  // namespace vesalius::model
