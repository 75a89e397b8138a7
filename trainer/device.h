// Which device a rank computes on, and how many threads it may use.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace vesalius::trainer {

// "cpu", "cuda" or "auto" (a GPU where there is one). "cuda" without a usable GPU: Error(kConfig).
at::Device ChooseDevice(const std::string& name, int node_rank);

// Intra-op threads of the calling rank: `wanted`, or the node's cores divided by its ranks. Widens a
// one-core affinity and says so. Sets deterministic kernels.
void SetUpThreads(int wanted, int node_size, bool deterministic);

}  // namespace vesalius::trainer
