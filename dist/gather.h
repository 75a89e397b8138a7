// Differentiable exchange of rows: the forward gathers every rank's rows, the backward sums the
// gradients over ranks and returns each rank its own (all-gather / reduce-scatter, as OpenCLIP's
// gather_with_grad, but for unequal row counts). No factor of the world size.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "dist/communicator.h"

namespace vesalius::dist {

// Rows held by every rank (one collective): counts[r].
std::vector<std::int64_t> GatherCounts(Communicator& comm, std::string_view name, std::int64_t mine,
                                       CallSite site = CallSite::current());
// The same for several kinds of rows at once: counts[kind][r].
std::vector<std::vector<std::int64_t>> GatherCounts(Communicator& comm, std::string_view name,
                                                    std::span<const std::int64_t> mine,
                                                    CallSite site = CallSite::current());

// x: [counts[rank], ...] -> [sum(counts), ...], rows in rank order. float32 and float64.
// Every rank must run the backward of every gather it ran forward, in the same order on all ranks;
// the result must therefore take part in the loss on every rank, also where it has no rows.
at::Tensor GatherRows(Communicator& comm, std::string_view name, const at::Tensor& x,
                      const std::vector<std::int64_t>& counts, CallSite site = CallSite::current());

// The same without gradient, for any dtype of dist::DType.
at::Tensor GatherRowsDetached(Communicator& comm, std::string_view name, const at::Tensor& x,
                              const std::vector<std::int64_t>& counts,
                              CallSite site = CallSite::current());

// Sum over ranks of a detached tensor; x is not changed.
at::Tensor SumOverRanks(Communicator& comm, std::string_view name, const at::Tensor& x,
                        CallSite site = CallSite::current());

}  // namespace vesalius::dist
