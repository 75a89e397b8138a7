// What the benchmarks of the contrastive losses share: unit features whose matched pairs are at a
// cosine of about 0.5, batch 4096, width 512, as the peers in Python have them; and a clock.
#pragma once

#include <ATen/ATen.h>

#include <chrono>
#include <memory>

#include "dist/bootstrap.h"
#include "dist/ring_loss.h"
#include "ops/cpu_memory.h"

namespace vesalius::bench {

constexpr std::int64_t kBatch = 4096, kWidth = 512;
constexpr double kScale = 14.3;

struct Features {
  at::Tensor x, y;
};

inline Features MakeFeatures(std::int64_t batch = kBatch) {
  at::Generator generator = at::detail::createCPUGenerator(7);
  const auto unit = [](const at::Tensor& x) { return x / x.norm(2, {1}, true); };
  const auto random = [&] {
    return unit(at::randn({batch, kWidth}, generator, at::TensorOptions().dtype(at::kFloat)));
  };
  const at::Tensor x = random();
  return {x, unit(x + 1.7 * random())};
}

template <typename Body>
double Seconds(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Gradients {
  double loss = 0;
  at::Tensor dx, dy;
};

// Megabytes at the peak above inputs and returned gradients.
template <typename Body>
double Megabytes(const Body& body) {
  const ops::CpuMemoryMeter meter;
  const Gradients out = body();
  return static_cast<double>(meter.peak() - static_cast<std::int64_t>(out.dx.nbytes()) -
                             static_cast<std::int64_t>(out.dy.nbytes())) /
         1e6;
}

// Forward and backward of RingLoss on this rank's features.
inline Gradients RunRing(dist::Communicator& comm, const Features& in,
                         const std::vector<std::int64_t>& counts,
                         const std::shared_ptr<const dist::Positives>& positives,
                         const dist::RingOptions& options, double bias_value = -10) {
  const at::Tensor x = in.x.detach().requires_grad_(true), y = in.y.detach().requires_grad_(true);
  const at::Tensor scale = at::scalar_tensor(kScale, at::kFloat).requires_grad_(true);
  at::Tensor bias;
  if (options.form == dist::LossForm::kSigLip)
    bias = at::scalar_tensor(bias_value, at::kFloat).requires_grad_(true);
  const at::Tensor loss =
      dist::RingLoss(comm, "loss", x, y, scale, bias, counts, positives, options).loss;
  loss.backward();
  return {loss.item<double>(), x.grad(), y.grad()};
}

}  // namespace vesalius::bench
