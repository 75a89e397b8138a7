// Which device a rank computes on, and how many threads it may use.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace vesalius::trainer {

// "cpu", "cuda" or "auto" (a GPU where there is one). "cuda" without a usable GPU: Error(kConfig).
at::Device ChooseDevice(const std::string& name, int node_rank);

// Intra-op threads of the calling rank: `wanted`, or the cores that it may run on divided by the
// ranks that share them. Widens a one-core affinity and says so.
void SetUpThreads(int wanted, int node_size);

}  // namespace vesalius::trainer
