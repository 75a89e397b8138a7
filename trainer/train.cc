#include "trainer/train.h"

#include <chrono>

#include "base/error.h"
#include "base/log.h"
#include "checkpoints/reader.h"
#include "data/pipeline.h"
#include "dist/grad_exchange.h"
#include "trainer/adamw.h"
#include "trainer/evaluation.h"
#include "trainer/run_record.h"
#include "trainer/schedule.h"
#include "trainer/stop_signal.h"

namespace vesalius::trainer {
namespace {

using model::BatchTensors;
using model::Features;
using model::NamedLoss;

// Seconds by phase of one step.
class PhaseClock {
 public:
  void Mark(const char* phase) {
    const auto now = std::chrono::steady_clock::now();
    seconds_.emplace_back(phase, std::chrono::duration<double>(now - last_).count());
    last_ = now;
  }
  double total() const { return std::chrono::duration<double>(last_ - start_).count(); }
  const std::vector<std::pair<std::string, double>>& seconds() const { return seconds_; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now(), last_ = start_;
  std::vector<std::pair<std::string, double>> seconds_;
};

at::Tensor WeightedSum(const std::vector<NamedLoss>& losses) {
  at::Tensor total;
  for (const NamedLoss& loss : losses)
    if (loss.weight > 0)
      total = total.defined() ? total + loss.weight * loss.value : loss.weight * loss.value;
  return total;
}

// Forward and backward of the local batch; gradients end up in the exchange. With one slice this is
// plain backpropagation. With more, features of all slices are computed without a graph, the loss
// gives their gradients, and each slice is encoded again to carry them into the parameters
// (GradCache; Gao et al., 2021): the same loss and gradients in the memory of one slice.
std::vector<NamedLoss> ForwardBackward(model::Recipe& recipe, const BatchTensors& batch,
                                       std::int64_t slices, dist::Communicator& comm,
                                       dist::GradExchange& exchange, PhaseClock& clock) {
  if (slices == 1) {
    exchange.Begin();
    const Features features = recipe.Encode(batch);
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
      for (const auto& [name, rows] : recipe.Encode(slice(k))) parts[name].push_back(rows);
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
    for (const auto& [name, rows] : recipe.Encode(slice(k))) {
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

// What rides in the exchange beside the gradients: [stop, unreadable, loss shares...].
constexpr std::size_t kFlags = 16;

std::vector<double> FlagsOf(const std::vector<NamedLoss>& losses, bool stop,
                            std::int64_t unreadable) {
  std::vector<double> flags(kFlags, 0.0);
  flags[0] = stop ? 1 : 0;
  flags[1] = static_cast<double>(unreadable);
  Invariant(losses.size() + 2 <= kFlags, "more losses than flags");
  for (std::size_t i = 0; i < losses.size(); ++i) flags[2 + i] = losses[i].value.item<double>();
  return flags;
}

// One optimiser step's outcome, the same on every rank.
struct Outcome {
  StepRecord record;
  bool stop = false;
};

void RequireFinite(const StepRecord& record) {
  if (std::isfinite(record.loss) && std::isfinite(record.grad_norm)) return;
  std::string detail;
  for (const auto& [name, value] : record.losses) detail += StrCat(" ", name, "=", value);
  Fail(ExitCode::kNumericalStop, "step ", record.step, ": loss ", record.loss, " or gradient norm ",
       record.grad_norm, " is not finite (", Trim(detail),
       "); the last checkpoint is from before it. Lower trainer.lr or set trainer.clip, and start "
       "again from there");
}

class Session {
 public:
  explicit Session(const TrainContext& context);
  ExitCode Run();

 private:
  data::PipelineOptions LoaderOptions() const;
  Outcome Step(std::int64_t step);
  void Save(std::int64_t step);
  void EvaluateNow(std::int64_t step);
  std::int64_t Restore();

  const TrainContext& context_;
  const Config& config_;
  bool lead_;
  std::unique_ptr<model::AnatomyVlm> model_;
  std::vector<model::ParameterInfo> parameters_;
  AdamW optimiser_;
  dist::GradExchange exchange_;
  data::LoaderState loader_state_;
  std::unique_ptr<data::Pipeline> pipeline_;
  checkpoints::Writer writer_;
  std::unique_ptr<RunRecord> record_;
  std::int64_t saved_step_ = -1;
  int stage_ = 0;
};

std::vector<std::pair<std::string, at::Tensor>> NamedTensors(
    const std::vector<model::ParameterInfo>& parameters) {
  std::vector<std::pair<std::string, at::Tensor>> list;
  for (const auto& parameter : parameters) list.emplace_back(parameter.name, parameter.tensor);
  return list;
}

Session::Session(const TrainContext& context)
    : context_(context),
      config_(context.config),
      lead_(context.comm.rank() == 0),
      model_(BuildModel(config_, context.vocabulary, context.device)),
      parameters_(model_->parameters()),
      optimiser_(parameters_, {config_.trainer.beta1, config_.trainer.beta2, config_.trainer.eps,
                               config_.trainer.weight_decay}),
      exchange_(context.comm, NamedTensors(parameters_),
                {static_cast<std::size_t>(config_.dist.bucket_bytes)}),
      writer_({context.run_folder, context.comm.rank(), context.comm.size(), config_.trainer.keep},
              context.attempt, [&context](const std::string& name, const std::string& mine) {
                return dist::AllGatherBytes(context.comm, name, mine);
              }) {}

data::PipelineOptions Session::LoaderOptions() const {
  const DataConfig& in = config_.data;
  data::PipelineOptions out = PixelOptions(config_);
  out.seed = config_.seed;
  out.global_batch = config_.trainer.global_batch;
  out.rank = context_.comm.rank();
  out.ranks = context_.comm.size();
  out.workers = in.workers;
  out.rows_per_image = in.rows;
  out.perturb = in.perturb;
  out.text_length = in.text_length;
  out.report_length = model_->NeedsReports() ? in.report_length : 0;
  out.region_texts = model_->NeedsRegionTexts(stage_);
  out.augment = in.augment;
  out.min_crop = in.min_crop;
  out.max_shift = in.max_shift;
  out.max_rotate = in.max_rotate;
  out.brightness = in.brightness;
  out.contrast = in.contrast;
  return out;
}

// Loads the checkpoint that all ranks agreed on; returns the steps already done.
std::int64_t Session::Restore() {
  if (context_.resume_from.empty()) return 0;
  const checkpoints::Reader reader(context_.resume_from);
  LoadState(reader, parameters_, &optimiser_);
  const auto state = reader.info().blobs.find("loader");
  Require(state != reader.info().blobs.end(), ExitCode::kInvalidData, context_.resume_from,
          " holds no loader state");
  loader_state_ = data::ParseLoaderState(state->second);
  if (lead_)
    log::Info("resumed from ", context_.resume_from, " (step ", reader.info().step, ", ",
              reader.info().samples, " samples)");
  return reader.info().step;
}

Outcome Session::Step(std::int64_t step) {
  PhaseClock clock;
  const data::Batch batch = pipeline_->Next();
  const BatchTensors tensors =
      ToTensors(batch, context_.train->vocabulary().findings.size(),
                context_.train->vocabulary().image_labels.size(),
                config_.trainer.float64 ? at::kDouble : at::kFloat, context_.device);
  clock.Mark("data");

  const std::vector<NamedLoss> losses = ForwardBackward(
      *model_, tensors, config_.trainer.accumulate, context_.comm, exchange_, clock);
  const std::vector<double> sums =
      exchange_.Finalize(FlagsOf(losses, StopRequested(), batch.unreadable));
  clock.Mark("exchange");

  Outcome outcome{{}, sums[0] > 0};
  StepRecord& record = outcome.record;
  record.step = step + 1;
  record.samples = batch.state.samples;
  record.lr = LearningRate(config_.trainer, step);
  record.grad_norm = exchange_.GradNorm();
  for (std::size_t i = 0; i < losses.size(); ++i) {
    record.losses.emplace_back(losses[i].name, sums[2 + i]);
    record.loss += losses[i].weight * sums[2 + i];
  }
  record.counts = {{"stage", stage_}, {"unreadable", sums[1]}};
  RequireFinite(record);

  optimiser_.Step(exchange_.touched(), record.lr,
                  ClipScale(record.grad_norm, config_.trainer.clip));
  model_->AfterStep();
  loader_state_ = batch.state;
  clock.Mark("optimiser");

  record.seconds = clock.seconds();
  record.seconds.insert(record.seconds.end(), {{"loader.wait", batch.wait_s},
                                               {"loader.read", batch.read_s},
                                               {"loader.decode", batch.decode_s},
                                               {"loader.augment", batch.augment_s}});
  record.samples_per_s = static_cast<double>(config_.trainer.global_batch) / clock.total();
  return outcome;
}

void Session::Save(std::int64_t step) {
  if (step == saved_step_) return;
  if (record_) record_->Flush();
  checkpoints::StepInfo info;
  info.step = step;
  info.samples = loader_state_.samples;
  info.token = context_.token;
  info.config_text = config_.text;
  info.world = context_.comm.size();
  info.blobs = {{"loader", data::SerializeLoaderState(loader_state_)},
                {"vocabulary", SerializeVocabulary(context_.vocabulary)}};
  std::vector<at::Tensor> staging;
  writer_.Save(info, StateViews(parameters_, &optimiser_, &staging));
  saved_step_ = step;
}

void Session::EvaluateNow(std::int64_t step) {
  if (!context_.valid || context_.valid->size() == 0) return;
  const data::Tokenizer tokenizer(context_.vocabulary.wordpieces);
  const Figures figures =
      EvaluateDataset(*model_, config_, tokenizer, *context_.valid, "all", context_.comm);
  if (record_) record_->Evaluation(step, Headline(figures));
}

ExitCode Session::Run() {
  const TrainerConfig& plan = config_.trainer;
  std::int64_t step = Restore();
  stage_ = StageAt(plan, step);
  model_->SetStage(stage_);
  pipeline_ = std::make_unique<data::Pipeline>(
      std::vector<std::shared_ptr<const data::Dataset>>{context_.train}, LoaderOptions(),
      loader_state_);
  if (lead_)
    record_ =
        std::make_unique<RunRecord>(context_.run_folder, context_.attempt_number, step, plan.steps);
  if (!context_.resume_from.empty()) saved_step_ = step;

  while (step < plan.steps) {
    if (const int stage = StageAt(plan, step); stage != stage_) {
      stage_ = stage;
      model_->SetStage(stage);
      pipeline_->SetRegionTexts(model_->NeedsRegionTexts(stage));
    }
    const Outcome outcome = Step(step);
    ++step;
    if (record_) record_->Step(outcome.record);
    const bool last = step == plan.steps;
    if (outcome.stop || last || (plan.checkpoint_every > 0 && step % plan.checkpoint_every == 0))
      Save(step);
    if (outcome.stop && !last) {
      if (lead_) log::Info("stopped on request at step ", step, "; start again to go on");
      return ExitCode::kSavedResumable;
    }
    if (plan.eval_every > 0 && (last || step % plan.eval_every == 0)) EvaluateNow(step);
  }
  if (lead_) {
    record_->Flush();
    checkpoints::StepInfo done;
    done.step = step;
    done.samples = loader_state_.samples;
    done.token = context_.token;
    checkpoints::MarkDone(context_.run_folder, done);
  }
  return ExitCode::kFinished;
}

}  // namespace

ExitCode Train(const TrainContext& context) { return Session(context).Run(); }

}  // namespace vesalius::trainer
