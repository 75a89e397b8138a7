#include "trainer/train.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/event_log.h"
#include "base/log.h"
#include "base/rank_page.h"
#include "checkpoints/source.h"
#include "data/loader/pipeline.h"
#include "data/loader/token_store.h"
#include "dist/slice_sum.h"
#include "dist/tensor.h"
#include "trainer/comm_trace.h"
#include "trainer/evaluation.h"
#include "trainer/fault.h"
#include "trainer/numbers_watch.h"
#include "trainer/parameter_faults.h"
#include "trainer/pinned_memory.h"
#include "trainer/replicas.h"
#include "trainer/run_record.h"
#include "trainer/schedule.h"
#include "trainer/step_spans.h"
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
  Verdict verdict = Verdict::kApply;
};

// `memory_step`: what the run goes on from, in memory; -1: from elsewhere.
checkpoints::WriterOptions WriterOptionsOf(const TrainContext& context, std::int64_t memory_step) {
  const CheckpointConfig& config = context.config.checkpoint;
  checkpoints::WriterOptions out;
  out.run_folder = context.run_folder;
  out.rank = context.comm.rank();
  out.ranks = context.comm.size();
  out.keep = {context.config.trainer.keep, config.keep_every, config.keep_best};
  out.deadline = config.deadline;
  out.wait = config.wait;
  out.host_bytes = static_cast<std::uint64_t>(config.host_mb) << 20;
  out.memory_folder = checkpoints::MemoryFolder();
  out.memory_step = memory_step;
  return out;
}

// Steps of an attempt whose time says nothing of those that follow.
constexpr int kWarmUpSteps = 3;

page::PhaseTimes PagePhases(const std::vector<std::pair<std::string, double>>& seconds) {
  page::PhaseTimes times{};
  for (int p = 0; p < page::kPhases; ++p)
    for (const auto& [name, time] : seconds)
      if (name == page::Name(static_cast<page::Phase>(p))) times[p] += static_cast<float>(time);
  return times;
}

class Session {
 public:
  explicit Session(const TrainContext& context);
  ExitCode Run();

 private:
  data::PipelineOptions LoaderOptions();
  void OpenPipelines();
  std::shared_ptr<const data::TokenStore> OpenTokens();
  void CountUnreadable(const data::LoaderState& state, std::int64_t of_step);
  Outcome Step(std::int64_t step);
  void Save(std::int64_t step, bool final);
  void EvaluateNow(std::int64_t step);
  std::int64_t Load(const std::string& source);
  std::int64_t Prepare();
  std::int64_t Restore();
  void MakeWriter(std::int64_t step);
  const std::string& Blob(const checkpoints::Reader& reader, const char* name) const;
  void Tell(std::int64_t step, Verdict verdict, std::span<const data::Batch> batches) const;
  bool ReplicasDiffer(std::int64_t step);
  bool HasCheckpoint() const;
  std::int64_t RollBack(std::int64_t step, bool other_samples);
  void TakeInitialWeights();
  checkpoints::StepInfo Info(std::int64_t step);
  std::vector<checkpoints::TensorView> Views(std::vector<at::Tensor>* staging);
  void SetUp();  // tables, from restored or fresh parameters

  const TrainContext& context_;
  const Config& config_;
  bool lead_;
  TrainStep train_step_;
  Tables tables_;
  TableMeter table_meter_;
  data::LoaderState loader_state_;
  std::unique_ptr<std::pmr::memory_resource> pixel_memory_;  // outlives the pipeline
  std::vector<std::unique_ptr<data::Pipeline>> pipelines_;  // one; a slice each with trainer.slices
  std::unique_ptr<checkpoints::Writer> writer_;             // once the state is loaded
  std::string source_;                                      // that it was loaded from
  CommTrace comm_trace_;
  NumbersWatch watch_;
  StepSpans spans_;
  std::unique_ptr<RunRecord> record_;
  std::unique_ptr<StopWatch> stop_watch_;  // rank 0 only
  Faults faults_;
  std::int64_t first_step_ = 0;  // of this attempt
  std::int64_t saved_step_ = -1;
  int stage_ = 0;
};

Session::Session(const TrainContext& context)
    : context_(context),
      config_(context.config),
      lead_(context.comm.rank() == 0),
      train_step_(context.config, context.vocabulary, context.device, context.comm),
      pixel_memory_(PinnedMemory(context.device)),
      comm_trace_(context.comm),
      watch_(config_.watch),
      spans_(config_.record.span_every, lead_),
      faults_(context.faults, context.run_folder, context.comm.rank()) {}

data::PipelineOptions Session::LoaderOptions() {
  data::PipelineOptions out = LoaderOptionsOf(config_);
  out.report_length = train_step_.model().NeedsReports() ? config_.data.report_length : 0;
  out.region_texts = train_step_.model().NeedsRegionTexts(stage_);
  out.weights = context_.sources.weights;
  out.pixel_memory = pixel_memory_.get();
  if (out.report_length > 0 && config_.data.token_cache) out.tokens = OpenTokens();
  return out;
}

// With trainer.slices every slice is a rank to the loader, so that it has the same samples
// whichever rank computes it.
void Session::OpenPipelines() {
  const int rank = context_.comm.rank(), ranks = context_.comm.size();
  const auto slices = static_cast<int>(config_.trainer.slices);
  const dist::SliceRange mine =
      slices > 0 ? dist::SlicesOf(rank, ranks, slices) : dist::SliceRange{rank, rank + 1};
  data::PipelineOptions options = LoaderOptions();
  options.ranks = slices > 0 ? slices : ranks;
  pipelines_.clear();
  for (options.rank = mine.begin; options.rank < mine.end; ++options.rank)
    pipelines_.push_back(
        std::make_unique<data::Pipeline>(context_.sources.datasets, options, loader_state_));
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

// Loads this rank's state from `source`, and has its share of what no rank loads here verified, so
// that all bytes of a source are checked by somebody before it is used.
std::int64_t Session::Load(const std::string& source) {
  const std::unique_ptr<checkpoints::Reader> reader = checkpoints::OpenSource(source);
  LoadState(*reader, train_step_.parameters(), &train_step_.optimiser());
  std::vector<at::Tensor> staging;
  std::set<checkpoints::TensorKey> loaded;
  for (const checkpoints::TensorView& view :
       StateViews(train_step_.parameters(), &train_step_.optimiser(), &staging))
    loaded.emplace(view.meta.name, view.meta.role);
  // Every node has a memory of its own.
  const bool shared = !checkpoints::IsMemorySource(source);
  reader->VerifyShare(shared ? context_.comm.rank() : 0, shared ? context_.comm.size() : 1, loaded);
  loader_state_ = data::ParseLoaderState(Blob(*reader, "loader"));
  if (reader->info().blobs.contains("watch")) watch_.Parse(Blob(*reader, "watch"));
  return reader->info().step;
}

// Collective: loads the newest checkpoint that is good on every rank; returns the steps already
// done.
std::int64_t Session::Restore() {
  source_ = context_.resume_from;
  while (!source_.empty()) {
    std::int64_t step = 0;
    std::string damage;
    try {
      step = Load(source_);
    } catch (const Error& error) {
      if (error.code() != ExitCode::kInvalidData && error.code() != ExitCode::kInputMissing) throw;
      damage = StrCat("rank ", context_.comm.rank(), ": ", error.what());
    }
    const std::vector<std::string> all =
        dist::AllGatherBytes(context_.comm, "resume.damage", damage);
    const auto first =
        std::find_if(all.begin(), all.end(), [](auto& text) { return !text.empty(); });
    if (first == all.end()) {
      if (lead_)
        log::Info("resumed from ", source_, " (step ", step, ", ", loader_state_.samples,
                  " samples)");
      return step;
    }
    source_ = context_.fall_back(source_, *first);
  }
  return 0;
}

// Collective.
void Session::MakeWriter(std::int64_t step) {
  const bool from_memory = checkpoints::IsMemorySource(source_);
  writer_ = std::make_unique<checkpoints::Writer>(
      WriterOptionsOf(context_, from_memory ? step : -1), context_.attempt,
      [this](const std::string& name, const std::string& mine) {
        return dist::AllGatherBytes(context_.comm, name, mine);
      });
  std::vector<at::Tensor> staging;
  writer_->Reserve(Views(&staging));
}

const std::string& Session::Blob(const checkpoints::Reader& reader, const char* name) const {
  const auto found = reader.info().blobs.find(name);
  Require(found != reader.info().blobs.end(), ExitCode::kInvalidData, "step ", reader.info().step,
          " of ", context_.run_folder, " holds no ", name, " state");
  return found->second;
}

void Session::SetUp() {
  tables_ = SetUpTables(config_, *context_.train, context_.vocabulary.wordpieces, context_.comm,
                        context_.device, &train_step_.model());
  if (!source_.empty()) LoadTables(*checkpoints::OpenSource(source_), tables_);
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
  const page::In section(step - first_step_ < kWarmUpSteps ? page::Section::kWarmUp
                                                           : page::Section::kStep);
  faults_.At(step + 1);
  if (faults_.flips()) FlipParameterBit(train_step_.parameters());
  std::optional<GradientFault> fault;
  if (faults_.gradient_factor() != 1)
    fault.emplace(train_step_.parameters(), faults_.gradient_factor());
  const double start = events::Now();
  PhaseClock clock;
  const std::int64_t before = loader_state_.samples;
  std::vector<data::Batch> batches;
  std::vector<model::BatchTensors> tensors;
  double unreadable = 0, wait_s = 0, read_s = 0, decode_s = 0, augment_s = 0;
  batches.reserve(pipelines_.size());
  for (const auto& pipeline : pipelines_) {
    const data::Batch& batch = batches.emplace_back(pipeline->Next());
    tensors.push_back(ToTensors(batch, context_.train->vocabulary().findings.size(),
                                context_.train->vocabulary().image_labels.size(),
                                config_.trainer.float64 ? at::kDouble : at::kFloat,
                                context_.device));
    unreadable += static_cast<double>(batch.unreadable);
    wait_s += batch.wait_s;
    read_s += batch.read_s;
    decode_s += batch.decode_s;
    augment_s += batch.augment_s;
  }
  const data::LoaderState& state = batches.back().state;
  clock.Mark("data");
  faults_.InForward();

  const bool stop = StopRequested() || (stop_watch_ && stop_watch_->StopNow());
  std::vector<double> flags = {stop ? 1.0 : 0.0, unreadable};
  const std::size_t saving = flags.size();
  for (const double flag : writer_->Flags()) flags.push_back(flag);
  Outcome outcome;
  StepRecord& record = outcome.record;
  record.lr = LearningRate(config_.trainer, step);
  const StepOutcome done =
      train_step_.Run(step, tensors, record.lr, flags, clock,
                      {[&](double loss, double grad_norm) {
                         return watch_.Judge(step + 1, loss, grad_norm, HasCheckpoint());
                       },
                       watch_.Decides()});
  outcome.stop = done.sums[0] > 0;
  outcome.verdict = done.verdict;
  Tell(step + 1, done.verdict, batches);
  const std::int64_t committed = writer_->committed_step(), given_up = writer_->abandoned();
  writer_->Agree(std::span(done.sums).subspan(saving, checkpoints::Writer::kFlags));
  if (writer_->committed_step() >= 0) page::SetCommitted(writer_->committed_step());
  if (lead_ && writer_->committed_step() != committed) {
    stop_watch_->SaveTook(writer_->save_seconds());
    record_->Committed(writer_->committed_step());
    events::Instant("save.committed", writer_->committed_step(),
                    {{"seconds", writer_->save_seconds()}});
  }
  if (lead_ && writer_->abandoned() != given_up) events::Failure("save.abandoned", step + 1);
  record.step = step + 1;
  record.samples = state.samples;
  record.loss = done.loss;
  record.losses = done.losses;
  record.grad_norm = done.grad_norm;
  record.counts = {{"stage", stage_},
                   {"unreadable", done.sums[1]},
                   {"saves_abandoned", static_cast<double>(writer_->abandoned())}};
  for (const auto& figure : watch_.Counts()) record.counts.push_back(figure);
  for (const auto& figure : table_meter_.Read(tables_)) record.counts.push_back(figure);
  CountUnreadable(state, static_cast<std::int64_t>(done.sums[1]));

  record.comm = comm_trace_.EndStep();
  record.seconds = clock.seconds();
  record.seconds.insert(record.seconds.end(), {{"loader.wait", wait_s},
                                               {"loader.read", read_s},
                                               {"loader.decode", decode_s},
                                               {"loader.augment", augment_s}});
  if (stop_watch_) stop_watch_->StepTook(clock.total());
  page::SetStep(step + 1, PagePhases(record.seconds));
  record.samples_per_s = static_cast<double>(record.samples - before) / clock.total();
  spans_.Step(record, start, clock.seconds());
  return outcome;
}

// What the watch found odd in a step, with the samples that this rank gave to it.
void Session::Tell(std::int64_t step, Verdict verdict, std::span<const data::Batch> batches) const {
  if (watch_.finding().empty()) return;
  const char* what = verdict == Verdict::kSkip       ? "its update is skipped"
                     : verdict == Verdict::kRollBack ? "the run goes back to the last checkpoint"
                                                     : "told of only";
  if (lead_) log::Warning("step ", step, ": ", watch_.finding(), "; ", what);
  std::string samples;
  for (const data::Batch& batch : batches)
    for (const std::int64_t id : batch.sample_ids)
      samples += StrCat(samples.empty() ? "" : " ", id);
  events::Failure("numbers", step,
                  {{"finding", watch_.finding()}, {"action", what}, {"samples", samples}});
}

// Collective. Told of and counted when they do.
bool Session::ReplicasDiffer(std::int64_t step) {
  const ReplicaCheck check = CompareReplicas(train_step_.parameters(), context_.comm);
  if (check.equal) return false;
  std::string ranks;
  for (const int rank : check.wrong) ranks += StrCat(ranks.empty() ? "" : " ", rank);
  if (lead_) log::Warning("step ", step, ": ", check.text, "; silent corruption of memory?");
  events::Failure("replicas", step,
                  {{"finding", check.text}, {"ranks", ranks}, {"tensor", check.tensor}});
  Require(HasCheckpoint(), ExitCode::kNumericalStop, "step ", step, ": ", check.text,
          ", and there is no checkpoint to go back to; start again, without the rank's node");
  watch_.CountRollBack(step, check.text);
  return true;
}

// The same on every rank.
bool Session::HasCheckpoint() const { return !source_.empty() || writer_->committed_step() >= 0; }

// Collective. Everything as in the newest checkpoint on disk, whose step is returned; with
// `other_samples` the run goes on behind the samples consumed so far instead of consuming them
// again.
std::int64_t Session::RollBack(std::int64_t step, bool other_samples) {
  writer_->Settle();
  std::vector<std::string> skipped;
  std::string newest;
  if (lead_) newest = checkpoints::NewestSource(context_.run_folder, "", /*memory=*/{}, &skipped);
  for (const std::string& reason : skipped) log::Warning("passed over ", reason);
  newest = dist::AllGatherBytes(context_.comm, "roll back", newest)[0];
  Require(!newest.empty(), ExitCode::kNumericalStop, context_.run_folder,
          " holds no good checkpoint to go back to");
  const std::unique_ptr<checkpoints::Reader> reader = checkpoints::OpenSource(newest);
  LoadState(*reader, train_step_.parameters(), &train_step_.optimiser());
  LoadTables(*reader, tables_);
  watch_.Parse(Blob(*reader, "watch"), /*keep_counts=*/true);
  if (!other_samples) {
    loader_state_ = data::ParseLoaderState(Blob(*reader, "loader"));
    OpenPipelines();
  }
  const std::int64_t to = reader->info().step;
  saved_step_ = to;
  if (lead_) log::Info("back from step ", step, " to step ", to);
  events::Instant("rollback", step, {{"to", to}, {"samples", loader_state_.samples}});
  if (record_) record_->RollBack(to);
  return to;
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

// What the state is, but its tensors.
checkpoints::StepInfo Session::Info(std::int64_t step) {
  checkpoints::StepInfo info;
  info.step = step;
  info.samples = loader_state_.samples;
  info.token = context_.token;
  info.config_text = config_.text;
  info.world = context_.comm.size();
  info.blobs = {{"loader", data::SerializeLoaderState(loader_state_)},
                {"vocabulary", SerializeVocabulary(context_.vocabulary)},
                {"watch", watch_.Serialize()}};
  if (tables_.knowledge) info.blobs["concepts"] = data::SerializeConceptGraph(tables_.concepts);
  return info;
}

// Parameters, optimiser and tables of this rank. `staging` keeps copies of what lies on a device.
std::vector<checkpoints::TensorView> Session::Views(std::vector<at::Tensor>* staging) {
  std::vector<checkpoints::TensorView> views =
      StateViews(train_step_.parameters(), &train_step_.optimiser(), staging);
  for (const checkpoints::TensorView& view : TableViews(tables_)) views.push_back(view);
  return views;
}

// A final save is waited for and must succeed; another one runs beside the next steps, and one that
// fails is counted.
void Session::Save(std::int64_t step, bool final) {
  if (step == saved_step_) return;
  const page::In section(final ? page::Section::kWrite : page::Section::kStage);
  if (record_) record_->Flush();
  const events::Scope stall("save", step);
  std::vector<at::Tensor> staging;
  const std::vector<checkpoints::TensorView> views = Views(&staging);
  if (final)
    writer_->Save(Info(step), views);
  else
    writer_->Start(Info(step), views);
  saved_step_ = step;
  if (record_ && final) record_->Committed(step);
}

void Session::EvaluateNow(std::int64_t step) {
  if (!context_.valid || context_.valid->size() == 0) return;
  const page::In section(page::Section::kEval);
  const events::Scope span("eval", step);
  const data::Tokenizer tokenizer(context_.vocabulary.wordpieces);
  train_step_.model().RefreshKnowledge();
  const Figures figures = EvaluateDataset(train_step_.model(), config_, tokenizer, *context_.valid,
                                          "all", context_.comm);
  if (record_) record_->Evaluation(step, Headline(figures));
}

// Everything that comes before the first step; returns the steps already done.
std::int64_t Session::Prepare() {
  const page::In section(page::Section::kLoad);
  const TrainerConfig& plan = config_.trainer;
  const double start = events::Now();
  if (context_.initial != nullptr) TakeInitialWeights();
  const std::int64_t step = Restore();
  SetUp();
  MakeWriter(step);
  stage_ = StageAt(plan, step);
  train_step_.model().SetStage(stage_);
  OpenPipelines();
  if (lead_)
    record_ = std::make_unique<RunRecord>(RunRecordOptions{
        context_.run_folder, context_.attempt_number, step, plan.steps, config_.record.prometheus});
  if (lead_) stop_watch_ = std::make_unique<StopWatch>(context_.run_folder);
  if (!source_.empty()) saved_step_ = step;
  first_step_ = step;
  events::Span("load", start, events::Now() - start, step);
  return step;
}

ExitCode Session::Run() {
  const TrainerConfig& plan = config_.trainer;
  std::int64_t step = Prepare();
  while (step < plan.steps) {
    if (const int stage = StageAt(plan, step); stage != stage_) {
      stage_ = stage;
      watch_.Restart();
      train_step_.model().SetStage(stage);
      for (const auto& pipeline : pipelines_)
        pipeline->SetRegionTexts(train_step_.model().NeedsRegionTexts(stage));
    }
    const Outcome outcome = Step(step);
    ++step;
    if (outcome.verdict == Verdict::kRollBack) {
      step = RollBack(step, /*other_samples=*/true);
      continue;
    }
    const bool last = step == plan.steps;
    const bool save =
        outcome.stop || last || (plan.checkpoint_every > 0 && step % plan.checkpoint_every == 0);
    const std::int64_t compare = config_.watch.replica_every;
    if (compare > 0 && (save || step % compare == 0) && ReplicasDiffer(step)) {
      step = RollBack(step, /*other_samples=*/false);
      continue;
    }
    if (record_) record_->Step(outcome.record);
    if (save) Save(step, /*final=*/outcome.stop || last);
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
    if (train_step_.slices() != nullptr) log::Info(train_step_.slices()->Cost());
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
