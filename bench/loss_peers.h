// The contrastive losses that we compare with, as algorithms: written here with our matrix product,
// exponential, tile and threads, nothing weakened. What differs is what each computes how often.
#pragma once

#include <ATen/core/Tensor.h>

namespace vesalius::bench {

struct ContrastiveGradient {
  double loss = 0;
  at::Tensor dx, dy;
};

// Symmetric InfoNCE of x, y [b, d] float32, forward and backward, in one process.
// Inf-CL (Cheng et al., 2024): one lap a direction, online softmax; its backward has one kernel an
// output: 10 matrix products and 6 exponentials a pair.
ContrastiveGradient InfCl(const at::Tensor& x, const at::Tensor& y, double scale);
// memeff on one device (2026): both directions from one sweep with the scale as fixed maximum; one
// backward kernel an output: 5 products, 3 exponentials.
ContrastiveGradient MemeffSingle(const at::Tensor& x, const at::Tensor& y, double scale);
// memeff's distributed form: both outputs from one recomputation: 4 products, 2 exponentials.
ContrastiveGradient MemeffDistributed(const at::Tensor& x, const at::Tensor& y, double scale);

// Seconds that `count` sweeps of tile products over [b, d] x [d, b] take.
double GemmSeconds(const at::Tensor& x, const at::Tensor& y, int count);

}  // namespace vesalius::bench
