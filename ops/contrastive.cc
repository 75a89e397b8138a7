#include "ops/contrastive.h"

namespace vesalius::ops {

std::pair<at::Tensor, at::Tensor> MultiPositiveCrossEntropy(const at::Tensor& logits,
                                                            const at::Tensor& truth, int dim) {
  // -1e9, not -inf: a line that is ignored as a whole must not become NaN.
  const at::Tensor log_p = logits.masked_fill(truth.lt(0), -1e9).log_softmax(dim);
  const at::Tensor positive = truth.eq(1).to(logits.scalar_type());
  const at::Tensor count = positive.sum(dim);
  const at::Tensor line = -(positive * log_p).sum(dim) / count.clamp_min(1);
  return {line.sum(), count.gt(0).sum().to(logits.scalar_type())};
}

}  // namespace vesalius::ops
