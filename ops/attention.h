// Self-attention straight from the fused projection: no permutes, no copies of q, k and v.
#pragma once

#include <ATen/core/Tensor.h>

namespace vesalius::ops {

// softmax(q k^T / sqrt(w)) v of every head; differentiable in qkv.
// qkv [n, t, 3, h, w] -> [n, t, h * w]. lengths [n] int64 on the CPU, or undefined: sequence i
// attends to its first lengths[i] positions only; none give rows of zeros.
// float32 on the CPU outside autocast: one fused kernel (vesalius::attention; AVX2 where the
// processor has it), deterministic, the same at any number of threads; everything else:
// at::scaled_dot_product_attention.
at::Tensor Attention(const at::Tensor& qkv, const at::Tensor& lengths);

// The same by at::scaled_dot_product_attention for any mask [n, t] bool, true where a key may be
// seen; undefined: all.
at::Tensor MaskedAttention(const at::Tensor& qkv, const at::Tensor& mask);

}  // namespace vesalius::ops
