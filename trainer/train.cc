#include "trainer/train.h"

#include "base/error.h"
#include "base/event_log.h"
#include "base/log.h"
#include "checkpoints/reader.h"
#include "data/loader/pipeline.h"
#include "data/loader/token_store.h"
#include "dist/tensor.h"
#include "trainer/comm_trace.h"
#include "trainer/evaluation.h"
#include "trainer/pinned_memory.h"
#include "trainer/run_record.h"
#include "trainer/schedule.h"
#include "trainer/stop_signal.h"
#include "trainer/stop_watch.h"
#include "trainer/tables.h"
#include "trainer/train_step.h"

namespace vesalius::trainer {
namespace {

// One step as the run's record has it, the same on every rank.
struct Outcome {
  StepRecord record;
  bool stop = false;
};

class Session {
 public:
  explicit Session(const TrainContext& context);
  ExitCode Run();

 private:
  data::PipelineOptions LoaderOptions();
  std::shared_ptr<const data::TokenStore> OpenTokens();
  void CountUnreadable(const data::LoaderState& state, std::int64_t of_step);
  Outcome Step(std::int64_t step);
  void Save(std::int64_t step);
  void EvaluateNow(std::int64_t step);
  std::int64_t Restore();
  void TakeInitialWeights();
  void SetUp();  // tables, from restored or fresh parameters

  const TrainContext& context_;
  const Config& config_;
  bool lead_;
  TrainStep train_step_;
  Tables tables_;
  TableMeter table_meter_;
  data::LoaderState loader_state_;
  std::unique_ptr<std::pmr::memory_resource> pixel_memory_;  // outlives the pipeline
  std::unique_ptr<data::Pipeline> pipeline_;
  checkpoints::Writer writer_;
  CommTrace comm_trace_;
  std::unique_ptr<RunRecord> record_;
  std::unique_ptr<StopWatch> stop_watch_;  // rank 0 only
  std::int64_t saved_step_ = -1;
  int stage_ = 0;
};

Session::Session(const TrainContext& context)
    : context_(context),
      config_(context.config),
      lead_(context.comm.rank() == 0),
      train_step_(context.config, context.vocabulary, context.device, context.comm),
      pixel_memory_(PinnedMemory(context.device)),
      writer_({context.run_folder, context.comm.rank(), context.comm.size(), config_.trainer.keep},
              context.attempt,
              [&context](const std::string& name, const std::string& mine) {
                return dist::AllGatherBytes(context.comm, name, mine);
              }),
      comm_trace_(context.comm) {}

data::PipelineOptions Session::LoaderOptions() {
  data::PipelineOptions out = LoaderOptionsOf(config_);
  out.rank = context_.comm.rank();
  out.ranks = context_.comm.size();
  out.report_length = train_step_.model().NeedsReports() ? config_.data.report_length : 0;
  out.region_texts = train_step_.model().NeedsRegionTexts(stage_);
  out.weights = context_.sources.weights;
  out.pixel_memory = pixel_memory_.get();
  if (out.report_length > 0 && config_.data.token_cache) out.tokens = OpenTokens();
  return out;
}

// Collective. The lead makes the file when it is missing; the others find it, or, on a file system
// of their own, make theirs.
std::shared_ptr<const data::TokenStore> Session::OpenTokens() {
  const auto open = [&] {
    const std::vector<std::string> folders = {context_.sources.datasets[0]->path(),
                                              context_.run_folder + "/tokens"};
    return data::OpenTokenStore(*context_.train, folders,
                                [&](std::int64_t done, std::int64_t total) {
                                  if (lead_ && done == 1)
                                    log::Info("tokenising ", total, " reports, once");
                                });
  };
  std::shared_ptr<const data::TokenStore> tokens;
  if (lead_) tokens = open();
  dist::AllGatherBytes(context_.comm, "token file", "");
  return lead_ ? tokens : open();
}

// Loads the checkpoint that all ranks agreed on; returns the steps already done.
std::int64_t Session::Restore() {
  if (context_.resume_from.empty()) return 0;
  const checkpoints::Reader reader(context_.resume_from);
  LoadState(reader, train_step_.parameters(), &train_step_.optimiser());
  const auto state = reader.info().blobs.find("loader");
  Require(state != reader.info().blobs.end(), ExitCode::kInvalidData, context_.resume_from,
          " holds no loader state");
  loader_state_ = data::ParseLoaderState(state->second);
  if (lead_)
    log::Info("resumed from ", context_.resume_from, " (step ", reader.info().step, ", ",
              reader.info().samples, " samples)");
  return reader.info().step;
}

void Session::SetUp() {
  tables_ = SetUpTables(config_, *context_.train, context_.vocabulary.wordpieces, context_.comm,
                        context_.device, &train_step_.model());
  if (!context_.resume_from.empty()) LoadTables(checkpoints::Reader(context_.resume_from), tables_);
}

// Collective: rank 0's parameters, some of which come from files, become everybody's.
void Session::TakeInitialWeights() {
  if (lead_) ApplyInitialWeights(*context_.initial, train_step_.parameters());
  std::vector<dist::Ticket> tickets;
  for (const auto& parameter : train_step_.parameters())
    tickets.push_back(context_.comm.Broadcast(
        "init." + parameter.name, parameter.tensor.data_ptr(), parameter.tensor.numel(),
        dist::DTypeOf(parameter.tensor.scalar_type()), /*root=*/0));
  for (dist::Ticket& ticket : tickets) ticket.Wait();
}

Outcome Session::Step(std::int64_t step) {
  PhaseClock clock;
  const data::Batch batch = pipeline_->Next();
  const model::BatchTensors tensors =
      ToTensors(batch, context_.train->vocabulary().findings.size(),
                context_.train->vocabulary().image_labels.size(),
                config_.trainer.float64 ? at::kDouble : at::kFloat, context_.device);
  clock.Mark("data");

  const bool stop = StopRequested() || (stop_watch_ && stop_watch_->StopNow());
  const double flags[] = {stop ? 1.0 : 0.0, static_cast<double>(batch.unreadable)};
  Outcome outcome;
  StepRecord& record = outcome.record;
  record.lr = LearningRate(config_.trainer, step);
  const StepOutcome done = train_step_.Run(step, tensors, record.lr, flags, clock);
  outcome.stop = done.sums[0] > 0;
  record.step = step + 1;
  record.samples = batch.state.samples;
  record.loss = done.loss;
  record.losses = done.losses;
  record.grad_norm = done.grad_norm;
  record.counts = {{"stage", stage_}, {"unreadable", done.sums[1]}};
  for (const auto& figure : table_meter_.Read(tables_)) record.counts.push_back(figure);
  CountUnreadable(batch.state, static_cast<std::int64_t>(done.sums[1]));

  record.comm = comm_trace_.EndStep();
  record.seconds = clock.seconds();
  record.seconds.insert(record.seconds.end(), {{"loader.wait", batch.wait_s},
                                               {"loader.read", batch.read_s},
                                               {"loader.decode", batch.decode_s},
                                               {"loader.augment", batch.augment_s}});
  if (stop_watch_) stop_watch_->StepTook(clock.total());
  record.samples_per_s = static_cast<double>(config_.trainer.global_batch) / clock.total();
  return outcome;
}

// The same on every rank, so that all stop at the same step.
void Session::CountUnreadable(const data::LoaderState& state, std::int64_t of_step) {
  const std::int64_t total = loader_state_.unreadable + of_step;
  loader_state_ = state;
  loader_state_.unreadable = total;
  Require(of_step == 0 || total <= config_.data.max_unreadable, ExitCode::kInvalidData, total,
          " samples of this run could not be read, more than data.max_unreadable = ",
          config_.data.max_unreadable, "; `vesalius inspect ", context_.train->path(),
          "` names the damaged ones");
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
  if (tables_.knowledge) info.blobs["concepts"] = data::SerializeConceptGraph(tables_.concepts);
  std::vector<at::Tensor> staging;
  std::vector<checkpoints::TensorView> views =
      StateViews(train_step_.parameters(), &train_step_.optimiser(), &staging);
  for (const checkpoints::TensorView& view : TableViews(tables_)) views.push_back(view);
  PhaseClock clock;
  writer_.Save(info, views);
  clock.Mark("save");
  if (stop_watch_) stop_watch_->SaveTook(clock.total());
  saved_step_ = step;
}

void Session::EvaluateNow(std::int64_t step) {
  if (!context_.valid || context_.valid->size() == 0) return;
  const data::Tokenizer tokenizer(context_.vocabulary.wordpieces);
  train_step_.model().RefreshKnowledge();
  const Figures figures = EvaluateDataset(train_step_.model(), config_, tokenizer, *context_.valid,
                                          "all", context_.comm);
  if (record_) record_->Evaluation(step, Headline(figures));
}

ExitCode Session::Run() {
  const TrainerConfig& plan = config_.trainer;
  if (context_.initial != nullptr) TakeInitialWeights();
  std::int64_t step = Restore();
  SetUp();
  stage_ = StageAt(plan, step);
  train_step_.model().SetStage(stage_);
  pipeline_ =
      std::make_unique<data::Pipeline>(context_.sources.datasets, LoaderOptions(), loader_state_);
  if (lead_)
    record_ =
        std::make_unique<RunRecord>(context_.run_folder, context_.attempt_number, step, plan.steps);
  if (lead_) stop_watch_ = std::make_unique<StopWatch>(context_.run_folder);
  if (!context_.resume_from.empty()) saved_step_ = step;

  while (step < plan.steps) {
    if (const int stage = StageAt(plan, step); stage != stage_) {
      stage_ = stage;
      train_step_.model().SetStage(stage);
      pipeline_->SetRegionTexts(train_step_.model().NeedsRegionTexts(stage));
    }
    const Outcome outcome = Step(step);
    ++step;
    if (record_) record_->Step(outcome.record);
    const bool last = step == plan.steps;
    if (outcome.stop || last || (plan.checkpoint_every > 0 && step % plan.checkpoint_every == 0))
      Save(step);
    if (outcome.stop && !last) {
      if (lead_) log::Info(comm_trace_.Summary());
      if (lead_)
        log::Info("stopped on request at step ", step,
                  stop_watch_->StopNow() ? " (" + stop_watch_->reason() + ")" : "",
                  "; start again to go on");
      return ExitCode::kSavedResumable;
    }
    if (plan.eval_every > 0 && (last || step % plan.eval_every == 0)) EvaluateNow(step);
  }
  if (lead_) {
    log::Info(comm_trace_.Summary());
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
