// World-size invariance of the whole recipe: the same global batch on any number of ranks, split
// unequally, gives the same losses and the same summed gradients.
#pragma once

#include <map>
#include <string>

#include "dist/bootstrap.h"
#include "dist/communicator.h"
#include "dist/grad_exchange.h"
#include "model/anatomy_vlm.h"

namespace vesalius::model {

struct GlobalStep {
  std::map<std::string, double> losses;
  std::map<std::string, at::Tensor> gradients;
};

inline ModelConfig TinyConfig() {
  ModelConfig config;
  config.vision = {16, 8, 1, 32, 2, 2, 64, "sincos", 0.5};
  config.text = {50, 32, 1, 2, 64, 16, "mean", false};
  config.embed_dim = 16;
  config.temperature = 0.07;
  config.label_scale = 10;
  config.label_bias = -1;
  config.loss = {1, 0.5, 1, 2, 0.5, 5, 2};
  return config;
}

// A random batch of n images and a shared pool of texts, the same on every rank.
inline BatchTensors GlobalBatch(std::int64_t n, at::ScalarType type) {
  constexpr std::int64_t kTexts = 40, kFindings = 3, kLabels = 4;
  at::Generator generator = at::detail::createCPUGenerator(17);
  const auto ints = [&](std::int64_t low, std::int64_t high, at::IntArrayRef shape) {
    return at::randint(low, high, shape, generator, at::TensorOptions().dtype(at::kLong));
  };
  BatchTensors b;
  b.image = at::randn({n, 1, 16, 16}, generator, at::TensorOptions().dtype(at::kDouble)).to(type);
  b.boxes = at::rand({n, 29, 4}, generator, at::TensorOptions().dtype(at::kDouble))
                .mul(0.5)
                .add(0.2)
                .to(type);
  b.box_valid = ints(0, 4, {n, 29}).gt(0).to(at::kByte);
  b.region_labels = ints(-1, 2, {n, 29, kFindings}).to(at::kChar);
  b.region_abnormal = ints(-1, 2, {n, 29}).to(at::kChar);
  b.image_labels = ints(-1, 2, {n, kLabels}).to(at::kChar);
  b.region_truth = ints(0, 2, {n, 29}).to(at::kChar);
  b.texts = ints(1, 50, {kTexts, 7});
  b.texts.slice(1, 5).masked_fill_(ints(0, 2, {kTexts, 1}).eq(0), 0);  // some shorter texts
  b.signatures = at::stack({ints(-1000000, 1000000, {kTexts}), ints(0, 29, {kTexts}),
                            ints(-2, kFindings, {kTexts}), ints(0, 2, {kTexts})},
                           1);
  // Each region takes one of the texts, or none.
  b.region_text = ints(-10, kTexts, {n, 29}).clamp_min(-1).to(at::kInt);
  b.reports = ints(1, 50, {n, 9});
  b.report_hash = ints(0, n / 2 + 1, {n});  // duplicates
  return b;
}

// The rows [begin, end) of the global batch as one rank would hold them: only the texts it uses,
// renumbered.
inline BatchTensors LocalPart(const BatchTensors& all, std::int64_t begin, std::int64_t end) {
  BatchTensors part = all.Slice(begin, end, 0, all.texts.size(0));
  const at::Tensor used = std::get<0>(
      at::_unique(part.region_text.masked_select(part.region_text.ge(0)).to(at::kLong)));
  at::Tensor renumber = at::full({all.texts.size(0) + 1}, -1, at::kInt);
  renumber.index_put_({used}, at::arange(used.size(0), at::kInt));
  part.region_text =
      renumber.index({part.region_text.to(at::kLong)});  // -1 picks the last entry, -1
  part.texts = all.texts.index_select(0, used);
  part.signatures = all.signatures.index_select(0, used);
  return part;
}

// One forward and backward of this rank's rows; returns global losses and gradients.
inline GlobalStep RunStep(dist::Communicator& comm, const BatchTensors& batch, at::ScalarType type,
                          const std::string& contrast = "hybrid") {
  at::Tensor prompts = at::arange(4 * 5).view({4, 5}) % 45 + 3;
  at::Tensor family = at::zeros({29, 29}, at::kBool);
  family[0][1].fill_(true);
  family[1][0].fill_(true);
  ModelConfig config = TinyConfig();
  config.contrast.contrast = contrast;
  AnatomyVlm vlm(config, 5, prompts, family);
  vlm.to(type);
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  for (const auto& parameter : vlm.parameters())
    parameters.emplace_back(parameter.name, parameter.tensor);
  dist::GradExchange exchange(comm, parameters, {1 << 14});
  exchange.Begin();
  const std::vector<NamedLoss> losses = vlm.Loss(vlm.Encode(batch), batch, comm);
  at::Tensor total = at::zeros({}, type);
  std::vector<double> shares;
  for (const NamedLoss& loss : losses) {
    total = total + loss.weight * loss.value;
    shares.push_back(loss.value.item<double>());
  }
  total.backward();
  const std::vector<double> sums = exchange.Finalize(shares);
  GlobalStep step;
  for (std::size_t i = 0; i < losses.size(); ++i) step.losses[losses[i].name] = sums[i];
  for (const auto& [name, tensor] : parameters) step.gradients[name] = tensor.grad().clone();
  return step;
}

// Where rank r's rows of an unequal split begin.
inline std::int64_t Begin(int rank, int ranks, std::int64_t n) {
  return rank == 0 ? 0 : rank == ranks ? n : std::min<std::int64_t>(n, rank * n / ranks + 2);
}

inline GlobalStep Reference(std::int64_t n, at::ScalarType type) {
  GlobalStep step;
  dist::RunLocalRanks(1, [&](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    const BatchTensors all = GlobalBatch(n, type);
    step = RunStep(*comm, LocalPart(all, 0, n), type);
  });
  return step;
}

// Losses relative; a gradient's largest difference against
// max(its own largest, 1e-3 x the model's largest).
inline void ExpectSame(const GlobalStep& ours, const GlobalStep& reference, double tolerance) {
  for (const auto& [name, value] : reference.losses)
    EXPECT_NEAR(ours.losses.at(name), value, tolerance * std::max(1e-3, std::abs(value))) << name;
  double largest = 0;
  for (const auto& [name, gradient] : reference.gradients)
    largest = std::max(largest, gradient.abs().max().item<double>());
  for (const auto& [name, gradient] : reference.gradients) {
    const double bound = std::max(gradient.abs().max().item<double>(), 1e-3 * largest);
    const double difference = (ours.gradients.at(name) - gradient).abs().max().item<double>();
    EXPECT_LE(difference, tolerance * bound) << name;
  }
}

}  // namespace vesalius::model
