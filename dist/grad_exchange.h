// Gradient exchange: parameter gradients are views into an arena that the communicator allocated;
// post-accumulate hooks count a bucket full and launch its all-reduce in fixed bucket order while
// backward goes on. Gradients are SUMMED, never averaged: every loss divides by its global count.
//
// Which parameters took part, and the caller's flags, ride at the end of the last bucket, which is
// therefore launched by Finalize. Gradients must stay views of the arena: never call zero_grad() or
// set one to undefined. One backward after Begin(true) may reach a parameter once. A bucket whose
// parameters are all frozen (requires_grad false, the same on every rank) is not exchanged.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "dist/communicator.h"

namespace vesalius::dist {

struct GradExchangeOptions {
  std::size_t bucket_bytes = 4 << 20;  // a bucket is closed once it holds as much
  int max_flags = 64;                  // room kept for Finalize
};

class GradExchange {
 public:
  // `parameters`: names and leaf tensors (float32 or float64, one device), the same list in the
  // same order on every rank; verified by one exchange (a rank that differs is named:
  // Error(kConfig)).
  GradExchange(Communicator& comm, std::vector<std::pair<std::string, at::Tensor>> parameters,
               const GradExchangeOptions& options);
  ~GradExchange();

  // Zeroes the arena and arms the hooks: the next backward's gradients are exchanged as buckets
  // fill. With accumulation, call Begin(last = false) before all but the last backward: those only
  // accumulate; the arena is zeroed by the first Begin after Finalize.
  void Begin(bool last = true);

  // Launches what backward did not fill (parameters that took no part count as zero, the same on
  // every rank), waits for all buckets, and returns the sum over ranks of `flags`, which rode in
  // the exchange (agreed stops, unreadable records, metrics). After it param.grad() holds global
  // sums. Flags are summed in float64 in rank order, whatever the parameters' type; magnitudes up
  // to 3e38.
  std::vector<double> Finalize(std::span<const double> flags);

  // Parameters that took part on at least one rank in the last step: by index of the constructor's
  // list. (Untouched ones are skipped by the optimiser: no weight decay while frozen.)
  const std::vector<bool>& touched() const;

  // sqrt(sum of squares) over all gradients, in float64, in fixed order: the same on every rank,
  // and for every bucket size. After Finalize.
  double GradNorm() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vesalius::dist
