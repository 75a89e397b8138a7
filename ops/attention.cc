#include "ops/attention.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "base/error.h"
#include "ops/attention_kernel.h"

namespace vesalius::ops {
namespace {

using OptionalTensor = std::optional<at::Tensor>;

const AttentionKernels& Kernels() {
  static const AttentionKernels& chosen = HasAvx2() ? kAttentionAvx2 : kAttentionPortable;
  return chosen;
}

AttentionShape ShapeOf(const at::Tensor& qkv, const OptionalTensor& lengths) {
  Invariant(
      qkv.dim() == 5 && qkv.size(2) == 3 && qkv.is_contiguous() && qkv.scalar_type() == at::kFloat,
      "attention wants a contiguous float32 [n, t, 3, heads, width]");
  AttentionShape shape{qkv.size(0), qkv.size(1), qkv.size(3), qkv.size(4), nullptr};
  if (!lengths.has_value() || !lengths->defined()) return shape;
  Invariant(lengths->scalar_type() == at::kLong && lengths->is_contiguous() &&
                lengths->numel() == shape.n,
            "attention wants lengths as int64 [n]");
  shape.lengths = lengths->const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < shape.n; ++i)
    Invariant(shape.lengths[i] >= 0 && shape.lengths[i] <= shape.t, "attention: length ",
              shape.lengths[i], " of ", shape.t);
  return shape;
}

std::tuple<at::Tensor, at::Tensor> AttentionCpu(const at::Tensor& qkv,
                                                const OptionalTensor& lengths) {
  const AttentionShape shape = ShapeOf(qkv, lengths);
  const at::Tensor out = at::empty({shape.n, shape.t, shape.heads * shape.width}, qkv.options());
  const at::Tensor lse = at::empty({shape.n, shape.heads, shape.t}, qkv.options());
  const float* in = qkv.const_data_ptr<float>();
  float *to = out.mutable_data_ptr<float>(), *sums = lse.mutable_data_ptr<float>();
  at::parallel_for(0, shape.n * shape.heads, 1, [&](std::int64_t begin, std::int64_t end) {
    Kernels().forward(shape, in, to, sums, begin, end);
  });
  return {out, lse};
}

at::Tensor AttentionBackwardCpu(const at::Tensor& qkv, const OptionalTensor& lengths,
                                const at::Tensor& out, const at::Tensor& lse,
                                const at::Tensor& grad) {
  const AttentionShape shape = ShapeOf(qkv, lengths);
  const at::Tensor grad_out = grad.contiguous(), grad_qkv = at::empty_like(qkv);
  const float* in = qkv.const_data_ptr<float>();
  const float *was = out.const_data_ptr<float>(), *sums = lse.const_data_ptr<float>();
  const float* from = grad_out.const_data_ptr<float>();
  float* to = grad_qkv.mutable_data_ptr<float>();
  at::parallel_for(0, shape.n * shape.heads, 1, [&](std::int64_t begin, std::int64_t end) {
    Kernels().backward(shape, in, was, sums, from, to, begin, end);
  });
  return grad_qkv;
}

struct Fused : torch::autograd::Function<Fused> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& qkv,
                            const OptionalTensor& lengths) {
    static const auto op =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("vesalius::attention", "")
            .typed<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const OptionalTensor&)>();
    const at::AutoDispatchBelowADInplaceOrView below;
    const auto [out, lse] = op.call(qkv, lengths);
    context->save_for_backward({qkv, lengths.value_or(at::Tensor()), out, lse});
    return out;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    static const auto op =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("vesalius::attention_backward", "")
            .typed<at::Tensor(const at::Tensor&, const OptionalTensor&, const at::Tensor&,
                              const at::Tensor&, const at::Tensor&)>();
    const auto saved = context->get_saved_variables();
    const at::NoGradGuard no_grad;
    return {op.call(saved[0], saved[1], saved[2], saved[3], grads[0]), at::Tensor()};
  }
};

at::Tensor MaskOf(const at::Tensor& lengths, const at::Tensor& qkv) {
  if (!lengths.defined()) return {};
  const at::Tensor positions = at::arange(qkv.size(1), lengths.options());
  return positions.lt(lengths.unsqueeze(1)).to(qkv.device());
}

}  // namespace

TORCH_LIBRARY_IMPL(vesalius, CPU, m) {
  m.impl("attention", &AttentionCpu);
  m.impl("attention_backward", &AttentionBackwardCpu);
}

at::Tensor Attention(const at::Tensor& qkv, const at::Tensor& lengths) {
  const bool fused = qkv.device().is_cpu() && qkv.scalar_type() == at::kFloat &&
                     !at::autocast::is_autocast_enabled(at::kCPU);
  return fused ? Fused::apply(qkv.contiguous(),
                              lengths.defined() ? OptionalTensor(lengths) : std::nullopt)
               : MaskedAttention(qkv, MaskOf(lengths, qkv));
}

at::Tensor MaskedAttention(const at::Tensor& qkv, const at::Tensor& mask) {
  const auto n = qkv.size(0), t = qkv.size(1);
  std::optional<at::Tensor> keys;
  if (mask.defined()) keys = mask.view({n, 1, 1, t});
  const auto parts = qkv.permute({2, 0, 3, 1, 4}).unbind(0);
  return at::scaled_dot_product_attention(parts[0], parts[1], parts[2], keys)
      .transpose(1, 2)
      .reshape({n, t, qkv.size(3) * qkv.size(4)});
}

}  // namespace vesalius::ops
