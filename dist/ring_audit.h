// The running check of a contrastive loss: some rows' log-sum-exp once more in float64, from the
// texts as they pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "dist/communicator.h"
#include "dist/ring_positives.h"

namespace vesalius::dist {

class RingAudit {
 public:
  RingAudit() = default;  // audits nothing
  // `rows` of x [n, d], evenly spread; all where there are fewer.
  RingAudit(const at::Tensor& x, double scale, std::int64_t rows);

  // The texts [m, d] of columns [column, column + m), counted over all ranks.
  void Add(const at::Tensor& texts, std::int64_t column, const Positives& positives);
  // Collective: the largest difference to `lse` [n] float64 on any rank.
  double Finish(Communicator& comm, const std::string& name, const at::Tensor& lse) const;

 private:
  double scale_ = 0;
  at::Tensor rows_, x_, lse_;  // undefined: nothing to do
};

}  // namespace vesalius::dist
