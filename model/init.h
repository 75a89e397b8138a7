// Start values of parameters from counter-based streams: the same on every rank, at any world size,
// independent of torch's generators (which local ranks, being threads, would share).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace vesalius::model {

class Initialiser {
 public:
  explicit Initialiser(std::uint64_t seed) : seed_(seed) {}

  // float32 CPU tensors. Each call is a stream of its own, named by how many came before.
  at::Tensor Uniform(at::IntArrayRef shape, double bound);  // [-bound, bound)
  at::Tensor Normal(at::IntArrayRef shape, double std);
  at::Tensor TruncatedNormal(at::IntArrayRef shape, double std);  // within two deviations
  // The usual start of a linear map with `fan_in` inputs: uniform in +-1/sqrt(fan_in).
  at::Tensor Linear(at::IntArrayRef shape, std::int64_t fan_in);

 private:
  template <typename Draw>
  at::Tensor Fill(at::IntArrayRef shape, Draw draw);
  std::uint64_t seed_;
  std::uint64_t calls_ = 0;
};

// [side*side, width]: sin and cos of x and of y at width/4 frequencies from 1 to 1/100.
at::Tensor SineCosine2d(int side, int width);

}  // namespace vesalius::model
