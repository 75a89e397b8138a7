#include "trainer/backward.h"

#include "model/layers.h"
#include "trainer/autocast.h"

namespace vesalius::trainer {

using model::BatchTensors;
using model::Features;
using model::NamedLoss;

at::Tensor WeightedSum(const std::vector<NamedLoss>& losses) {
  at::Tensor total;
  for (const NamedLoss& loss : losses)
    if (loss.weight > 0)
      total = total.defined() ? total + loss.weight * loss.value : loss.weight * loss.value;
  return total;
}

Features Encode(model::Recipe& recipe, const BatchTensors& slice, bool bfloat16) {
  const AutocastScope scope(bfloat16, slice.image.device().type());
  Features features = recipe.Encode(slice);
  for (auto& [name, rows] : features) rows = model::Widen(rows);
  return features;
}

std::vector<NamedLoss> ForwardBackward(model::Recipe& recipe, const BatchTensors& batch,
                                       const TrainerConfig& config, dist::Communicator& comm,
                                       dist::GradExchange& exchange, PhaseClock& clock) {
  const std::int64_t slices = config.accumulate;
  if (slices == 1) {
    exchange.Begin();
    const Features features = Encode(recipe, batch, config.bfloat16);
    clock.Mark("forward");
    const std::vector<NamedLoss> losses = recipe.Loss(features, batch, comm);
    clock.Mark("loss");
    WeightedSum(losses).backward();
    clock.Mark("backward");
    return losses;
  }
  const std::int64_t images = batch.image.size(0);
  const std::int64_t texts = batch.texts.defined() ? batch.texts.size(0) : 0;
  const auto slice = [&](std::int64_t k) {
    return batch.Slice(k * images / slices, (k + 1) * images / slices, k * texts / slices,
                       (k + 1) * texts / slices);
  };
  std::map<std::string, std::vector<at::Tensor>> parts;
  {
    const at::NoGradGuard no_grad;
    for (std::int64_t k = 0; k < slices; ++k)
      for (const auto& [name, rows] : Encode(recipe, slice(k), config.bfloat16))
        parts[name].push_back(rows);
  }
  Features cached;
  for (const auto& [name, rows] : parts) cached[name] = at::cat(rows).requires_grad_(true);
  clock.Mark("forward");
  exchange.Begin(/*last=*/false);
  const std::vector<NamedLoss> losses = recipe.Loss(cached, batch, comm);
  clock.Mark("loss");
  WeightedSum(losses).backward();
  std::map<std::string, std::int64_t> done;
  for (std::int64_t k = 0; k < slices; ++k) {
    exchange.Begin(/*last=*/k + 1 == slices);
    at::Tensor inner;  // <features, their gradients>: its gradient is the chain rule
    for (const auto& [name, rows] : Encode(recipe, slice(k), config.bfloat16)) {
      const std::int64_t begin = done[name];
      done[name] += rows.size(0);
      const at::Tensor gradient = cached[name].grad();
      if (!gradient.defined() || !rows.requires_grad()) continue;
      const at::Tensor term = (rows * gradient.slice(0, begin, done[name])).sum();
      inner = inner.defined() ? inner + term : term;
    }
    if (inner.defined()) inner.backward();
  }
  clock.Mark("backward");
  return losses;
}

}  // namespace vesalius::trainer
