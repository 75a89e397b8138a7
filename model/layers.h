// The layers that both towers share. Parameter names inside a module are those of the checkpoint.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <memory>

#include "model/dropout.h"
#include "model/init.h"

namespace vesalius::model {

// y = x W^T + b; weight [out, in].
class Linear : public torch::nn::Module {
 public:
  Linear(Initialiser& init, std::int64_t in, std::int64_t out, bool bias = true);
  at::Tensor Forward(const at::Tensor& x) const;

 private:
  at::Tensor weight_, bias_;
};

class LayerNorm : public torch::nn::Module {
 public:
  LayerNorm(std::int64_t width, double eps);
  at::Tensor Forward(const at::Tensor& x) const;

 private:
  at::Tensor weight_, bias_;
  double eps_;
};

// Which keys a sequence may see; all of them when both are undefined.
struct Keys {
  at::Tensor lengths;  // [n] int64 on the CPU: the first ones
  at::Tensor mask;  // [n, t] bool: those that are true; where it is defined, lengths are not read
};

// Multi-head self-attention: x [n, t, D] -> [n, t, D].
class Attention : public torch::nn::Module {
 public:
  Attention(Initialiser& init, std::int64_t width, std::int64_t heads);
  at::Tensor Forward(const at::Tensor& x, const Keys& keys) const;

 private:
  std::shared_ptr<Linear> qkv_, proj_;  // qkv: rows q, k, v, each head-major
  std::int64_t heads_;
};

// fc2(gelu(fc1(x))), exact GELU.
class Mlp : public torch::nn::Module {
 public:
  Mlp(Initialiser& init, std::int64_t width, std::int64_t hidden);
  at::Tensor Forward(const at::Tensor& x) const;

 private:
  std::shared_ptr<Linear> fc1_, fc2_;
};

// Transformer block. Pre-norm (ViT): x += attn(norm1 x); x += mlp(norm2 x).
// Post-norm (BERT): x = norm1(x + attn x); x = norm2(x + mlp x).
class Block : public torch::nn::Module {
 public:
  enum class Order { kPreNorm, kPostNorm };
  Block(Initialiser& init, std::int64_t width, std::int64_t heads, std::int64_t hidden, double eps,
        Order order);
  // `dropout` is applied to what each branch adds, as BERT and timm do (proj_drop); `layer` is the
  // block's place in its tower.
  at::Tensor Forward(const at::Tensor& x, const Keys& keys, const Dropout& dropout = {},
                     std::uint64_t layer = 0) const;

 private:
  std::shared_ptr<LayerNorm> norm1_, norm2_;
  std::shared_ptr<Attention> attn_;
  std::shared_ptr<Mlp> mlp_;
  Order order_;
};

// bfloat16 as float32, other types as they are: what a loss or a geometry reads of layers that may
// have run in bfloat16.
at::Tensor Widen(const at::Tensor& x);

// In float32 at least: x / max(|x|_2, 1e-12) over the last dimension.
at::Tensor L2Normalise(const at::Tensor& x);

}  // namespace vesalius::model
