#include "model/layers.h"

#include "ops/attention.h"

namespace vesalius::model {

Linear::Linear(Initialiser& init, std::int64_t in, std::int64_t out, bool bias) {
  weight_ = register_parameter("weight", init.Linear({out, in}, in));
  if (bias) bias_ = register_parameter("bias", init.Linear({out}, in));
}

at::Tensor Linear::Forward(const at::Tensor& x) const { return at::linear(x, weight_, bias_); }

LayerNorm::LayerNorm(std::int64_t width, double eps) : eps_(eps) {
  weight_ = register_parameter("weight", at::ones({width}));
  bias_ = register_parameter("bias", at::zeros({width}));
}

at::Tensor LayerNorm::Forward(const at::Tensor& x) const {
  return at::layer_norm(x, weight_.sizes(), weight_, bias_, eps_);
}

Attention::Attention(Initialiser& init, std::int64_t width, std::int64_t heads) : heads_(heads) {
  qkv_ = register_module("qkv", std::make_shared<Linear>(init, width, 3 * width));
  proj_ = register_module("proj", std::make_shared<Linear>(init, width, width));
}

at::Tensor Attention::Forward(const at::Tensor& x, const Keys& keys) const {
  const auto n = x.size(0), t = x.size(1), width = x.size(2);
  const at::Tensor qkv = qkv_->Forward(x).view({n, t, 3, heads_, width / heads_});
  return proj_->Forward(keys.mask.defined() ? ops::MaskedAttention(qkv, keys.mask)
                                            : ops::Attention(qkv, keys.lengths));
}

Mlp::Mlp(Initialiser& init, std::int64_t width, std::int64_t hidden) {
  fc1_ = register_module("fc1", std::make_shared<Linear>(init, width, hidden));
  fc2_ = register_module("fc2", std::make_shared<Linear>(init, hidden, width));
}

at::Tensor Mlp::Forward(const at::Tensor& x) const {
  return fc2_->Forward(at::gelu(fc1_->Forward(x)));
}

Block::Block(Initialiser& init, std::int64_t width, std::int64_t heads, std::int64_t hidden,
             double eps, Order order)
    : order_(order) {
  norm1_ = register_module("norm1", std::make_shared<LayerNorm>(width, eps));
  attn_ = register_module("attn", std::make_shared<Attention>(init, width, heads));
  norm2_ = register_module("norm2", std::make_shared<LayerNorm>(width, eps));
  mlp_ = register_module("mlp", std::make_shared<Mlp>(init, width, hidden));
}

at::Tensor Block::Forward(const at::Tensor& x, const Keys& keys, const Dropout& dropout,
                          std::uint64_t layer) const {
  const auto attn = [&](const at::Tensor& in) {
    return dropout.Apply(attn_->Forward(in, keys), 2 * layer);
  };
  const auto mlp = [&](const at::Tensor& in) {
    return dropout.Apply(mlp_->Forward(in), 2 * layer + 1);
  };
  if (order_ == Order::kPreNorm) {
    const at::Tensor y = x + attn(norm1_->Forward(x));
    return y + mlp(norm2_->Forward(y));
  }
  const at::Tensor y = norm1_->Forward(x + attn(x));
  return norm2_->Forward(y + mlp(y));
}

at::Tensor Widen(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16 ? x.to(at::kFloat) : x;
}

at::Tensor L2Normalise(const at::Tensor& narrow) {
  const at::Tensor x = Widen(narrow);
  return x / x.norm(2, {-1}, /*keepdim=*/true).clamp_min(1e-12);
}

}  // namespace vesalius::model
