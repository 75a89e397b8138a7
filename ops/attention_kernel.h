// Self-attention over the heads of one fused projection, in float32 on the CPU: what the AVX2 and
// the portable kernel share. No torch.
//
// One (sequence, head) pair is a unit of work: its keys and values are packed once, then blocks of
// up to six query rows keep their scores in a row buffer, never the whole t x t matrix. The
// backward recomputes the probabilities from the log-sum-exp (FlashAttention; Dao et al., 2022).
// Sums are in a fixed order, and units touch disjoint memory: results do not depend on threads.
#pragma once

#include <cstdint>

namespace vesalius::ops {

// qkv [n, t, 3, heads, width]; out and grad_out [n, t, heads, width]; lse [n, heads, t], all
// contiguous. Keys of sequence i are its first lengths[i] positions (null: all t); with none, its
// rows are zero and their lse is -infinity. Scores are scaled by 1 / sqrt(width).
struct AttentionShape {
  std::int64_t n = 0, t = 0, heads = 0, width = 0;
  const std::int64_t* lengths = nullptr;
};

// Units [begin, end) of n * heads.
struct AttentionKernels {
  void (*forward)(const AttentionShape& shape, const float* qkv, float* out, float* lse,
                  std::int64_t begin, std::int64_t end);
  void (*backward)(const AttentionShape& shape, const float* qkv, const float* out,
                   const float* lse, const float* grad_out, float* grad_qkv, std::int64_t begin,
                   std::int64_t end);
};

extern const AttentionKernels kAttentionAvx2;      // needs AVX2 and FMA
extern const AttentionKernels kAttentionPortable;  // any processor
bool HasAvx2();

}  // namespace vesalius::ops
