// Knowledge rows for regions (module 8 of docs/model.md). Each region's token attends over rows of
// a table of concepts (its own anatomy and the findings that the training split links to it) and
// takes what it finds as a residual, weighed by tanh(gate). The gate starts at 0: the model then is
// the one without knowledge. And the rows of findings, projected as texts are, stand for what may
// be said of a region: its vector learns to be near those that its report affirms, and away from
// those that it denies.
#pragma once

#include "model/layers.h"

namespace vesalius::model {

class KnowledgeAttention : public torch::nn::Module {
 public:
  // D = `width`, rows of `row_width` values; `heads` divides D.
  KnowledgeAttention(Initialiser& init, std::int64_t width, std::int64_t row_width,
                     std::int64_t heads);

  // regions [n, M, D]; rows [n or 1, M, R, row_width]; valid [n or 1, M, R] bool, at least one
  // true of each R -> [n, M, D].
  at::Tensor Forward(const at::Tensor& regions, const at::Tensor& rows,
                     const at::Tensor& valid) const;

  // Whether each region's vector says each of its concepts: regions [n, M, d], concepts [M, R, d]
  // -> logits [n, M, R] = exp(scale) <region, concept> + bias.
  at::Tensor Logits(const at::Tensor& regions, const at::Tensor& concepts) const;

 private:
  std::shared_ptr<LayerNorm> norm_region_, norm_row_;
  std::shared_ptr<Linear> query_, key_, value_, out_;
  at::Tensor gate_, scale_, bias_;  // scale as a logarithm
  std::int64_t heads_;
};

}  // namespace vesalius::model
