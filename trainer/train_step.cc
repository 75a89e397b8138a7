#include "trainer/train_step.h"

#include "base/error.h"
#include "base/log.h"
#include "trainer/backward.h"

namespace vesalius::trainer {
namespace {

using model::BatchTensors;
using model::NamedLoss;

std::vector<std::pair<std::string, at::Tensor>> NamedTensors(
    const std::vector<model::ParameterInfo>& parameters) {
  std::vector<std::pair<std::string, at::Tensor>> list;
  for (const auto& parameter : parameters) list.emplace_back(parameter.name, parameter.tensor);
  return list;
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
                  config.trainer.weight_decay}) {
  if (config.trainer.slices > 0)
    slices_ = std::make_unique<FixedSlices>(*model_, parameters_, config.trainer, comm);
}

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

StepOutcome TrainStep::Run(std::int64_t step, std::span<const BatchTensors> slices, double lr,
                           std::span<const double> flags, PhaseClock& clock,
                           const UpdateRule& rule) {
  EndStep();
  if (exchange_.Rebuild()) optimiser_.Repartition(exchange_);
  const std::int64_t every = config_.trainer.audit_every;
  const bool audit = every > 0 && step % every == 0;
  std::vector<NamedLoss> losses;
  std::vector<at::Tensor> gradients;  // with fixed slices
  if (slices_) {
    losses = slices_->ForwardBackward(step, audit, slices, &gradients, clock);
  } else {
    model_->BeginStep(static_cast<std::uint64_t>(step * comm_.size() + comm_.rank()), audit);
    losses = ForwardBackward(*model_, slices[0], config_.trainer, comm_, exchange_, clock);
  }
  std::vector<double> riders;  // shares of the losses, then the flags
  for (const NamedLoss& loss : losses) riders.push_back(loss.value.item<double>());
  riders.insert(riders.end(), flags.begin(), flags.end());
  const std::vector<double> sums =
      slices_ ? exchange_.Take(gradients, riders) : exchange_.Finalize(riders);
  clock.Mark("exchange");

  StepOutcome outcome;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    outcome.losses.emplace_back(losses[i].name, sums[i]);
    outcome.loss += losses[i].weight * sums[i];
  }
  outcome.sums.assign(sums.begin() + static_cast<std::ptrdiff_t>(losses.size()), sums.end());
  const at::Tensor norm = exchange_.GradNorm();
  const auto judge = [&] {
    outcome.grad_norm = norm.item<double>();  // waits for the device
    const bool finite = std::isfinite(outcome.loss) && std::isfinite(outcome.grad_norm);
    outcome.verdict = rule.judge ? rule.judge(outcome.loss, outcome.grad_norm)
                      : finite   ? Verdict::kApply
                                 : Verdict::kSkip;
  };
  if (rule.early) judge();
  // The optimiser itself skips a step whose norm is not finite; the host looks only afterwards.
  if (std::isfinite(outcome.loss) && outcome.verdict == Verdict::kApply)
    optimiser_.Step(exchange_.touched(), lr, ClipScale(norm, config_.trainer.clip));
  if (!rule.early) judge();
  WarnOfAudit(outcome, step, comm_.rank());
  exchange_.PublishParameters();
  updated_ = true;
  if (outcome.verdict == Verdict::kApply)
    model_->StepTables(lr);
  else
    model_->ForgetTableGradients();
  clock.Mark("optimiser");
  return outcome;
}

}  // namespace vesalius::trainer
