#include "trainer/train_step.h"

#include "base/error.h"
#include "base/log.h"
#include "trainer/autocast.h"

namespace vesalius::trainer {
namespace {

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

// Features in the type of the losses.
Features Encode(model::Recipe& recipe, const BatchTensors& slice, bool bfloat16) {
  const AutocastScope scope(bfloat16, slice.image.device().type());
  Features features = recipe.Encode(slice);
  for (auto& [name, rows] : features) rows = model::Widen(rows);
  return features;
}

// Forward and backward of the local batch; gradients end up in the exchange. With one slice this is
// plain backpropagation. With more, features of all slices are computed without a graph, the loss
// gives their gradients, and each slice is encoded again to carry them into the parameters
// (GradCache; Gao et al., 2021): the same loss and gradients in the memory of one slice.
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

std::vector<std::pair<std::string, at::Tensor>> NamedTensors(
    const std::vector<model::ParameterInfo>& parameters) {
  std::vector<std::pair<std::string, at::Tensor>> list;
  for (const auto& parameter : parameters) list.emplace_back(parameter.name, parameter.tensor);
  return list;
}

void RequireFinite(const StepOutcome& outcome, std::int64_t step) {
  if (std::isfinite(outcome.loss) && std::isfinite(outcome.grad_norm)) return;
  std::string detail;
  for (const auto& [name, value] : outcome.losses) detail += StrCat(" ", name, "=", value);
  Fail(ExitCode::kNumericalStop, "step ", step + 1, ": loss ", outcome.loss, " or gradient norm ",
       outcome.grad_norm, " is not finite (", Trim(detail),
       "); the last checkpoint is from before it. Lower trainer.lr or set trainer.clip, and start "
       "again from there");
}

// Largest difference of a log-sum-exp from float64 that an audit lets pass: a few float32 steps of
// the steepest logits there can be, 100.
constexpr double kAuditLimit = 1e-4;

void WarnOfAudit(const StepOutcome& outcome, std::int64_t step, int rank) {
  for (const auto& [name, value] : outcome.losses)
    if (rank == 0 && name == "audit.loss_error" && value > kAuditLimit)
      log::Warning("step ", step + 1, ": the pair loss is ", value, " off from float64, more than ",
                   kAuditLimit, "; compare a run with --set trainer.precision=float64");
}

}  // namespace

TrainStep::TrainStep(const Config& config, const ModelVocabulary& vocabulary, at::Device device,
                     dist::Communicator& comm)
    : config_(config),
      comm_(comm),
      model_(BuildModel(config, vocabulary, device)),
      parameters_(model_->parameters()),
      exchange_(comm, NamedTensors(parameters_),
                {.bucket_bytes = static_cast<std::size_t>(config.dist.bucket_bytes),
                 .mode = config.dist.exchange,
                 .bfloat16_wire = config.dist.bfloat16_wire}),
      optimiser_(parameters_, exchange_.pieces(),
                 {config.trainer.beta1, config.trainer.beta2, config.trainer.eps,
                  config.trainer.weight_decay}) {}

model::AnatomyVlm& TrainStep::model() {
  EndStep();
  return *model_;
}

const std::vector<model::ParameterInfo>& TrainStep::parameters() {
  EndStep();
  return parameters_;
}

// What follows an update and may have run beside other work until now.
void TrainStep::EndStep() {
  if (!updated_) return;
  exchange_.WaitParameters();
  model_->AfterStep();
  updated_ = false;
}

StepOutcome TrainStep::Run(std::int64_t step, const BatchTensors& batch, double lr,
                           std::span<const double> flags, PhaseClock& clock) {
  EndStep();
  if (exchange_.Rebuild()) optimiser_.Repartition(exchange_);
  const std::int64_t every = config_.trainer.audit_every;
  model_->BeginStep(static_cast<std::uint64_t>(step * comm_.size() + comm_.rank()),
                    every > 0 && step % every == 0);
  const std::vector<NamedLoss> losses =
      ForwardBackward(*model_, batch, config_.trainer, comm_, exchange_, clock);
  std::vector<double> riders;  // shares of the losses, then the flags
  for (const NamedLoss& loss : losses) riders.push_back(loss.value.item<double>());
  riders.insert(riders.end(), flags.begin(), flags.end());
  const std::vector<double> sums = exchange_.Finalize(riders);
  clock.Mark("exchange");

  StepOutcome outcome;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    outcome.losses.emplace_back(losses[i].name, sums[i]);
    outcome.loss += losses[i].weight * sums[i];
  }
  outcome.sums.assign(sums.begin() + static_cast<std::ptrdiff_t>(losses.size()), sums.end());
  const at::Tensor norm = exchange_.GradNorm();
  // The optimiser skips a step whose norm is not finite; the host looks only afterwards.
  if (std::isfinite(outcome.loss))
    optimiser_.Step(exchange_.touched(), lr, ClipScale(norm, config_.trainer.clip));
  outcome.grad_norm = norm.item<double>();
  RequireFinite(outcome, step);
  WarnOfAudit(outcome, step, comm_.rank());
  exchange_.PublishParameters();
  updated_ = true;
  clock.Mark("optimiser");
  return outcome;
}

}  // namespace vesalius::trainer
