// Dropout (Srivastava et al., 2014) with masks that are a function of where an activation is: of
// the step's stream, tower, sample, layer, token and channel. Encoding a sample again, alone or
// among others, padded or not, drops the same activations; no generator state is kept or saved.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vesalius::model {

class Dropout {
 public:
  Dropout() = default;  // none: evaluation
  // `samples` [n] int64 on the CPU: what the rows of this call are called in the step.
  Dropout(double rate, std::uint64_t stream, at::Tensor samples)
      : rate_(rate), stream_(stream), samples_(std::move(samples)) {}

  // The same for rows picked from these; `rows` int64.
  Dropout Of(const at::Tensor& rows) const;
  // x [n, t, D] with each activation zeroed with probability `rate`, the others divided by 1 -
  // rate. `place`: which dropout of the tower this is.
  at::Tensor Apply(const at::Tensor& x, std::uint64_t place) const;

 private:
  double rate_ = 0;
  std::uint64_t stream_ = 0;
  at::Tensor samples_;
};

}  // namespace vesalius::model
