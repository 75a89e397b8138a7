#include "trainer/train.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/event_log.h"
#include "base/file.h"
#include "base/lap.h"
#include "base/log.h"
#include "base/rank_page.h"
#include "checkpoints/manifest.h"
#include "trainer/batch_source.h"
#include "trainer/comm_trace.h"
#include "trainer/evaluation.h"
#include "trainer/evaluation_mark.h"
#include "trainer/fault.h"
#include "trainer/findings.h"
#include "trainer/parameter_faults.h"
#include "trainer/record_file.h"
#include "trainer/replicas.h"
#include "trainer/run_checkpoints.h"
#include "trainer/run_record.h"
#include "trainer/run_state.h"
#include "trainer/schedule.h"
#include "trainer/step_spans.h"
#include "trainer/stop_signal.h"
#include "trainer/stop_watch.h"

namespace vesalius::trainer {
namespace {

using NamedValues = std::vector<std::pair<std::string, double>>;

// What rides along with the gradients of a step and comes back summed over the ranks: this rank's
// wish to stop, its records that could not be read, and from kSaving on the flags of a save.
enum Rider : std::size_t { kStop, kUnreadable, kSaving };

// The same on every rank.
struct Outcome {
  StepRecord record;
  bool stop = false;
  Verdict verdict = Verdict::kApply;
};

// Steps of an attempt whose time says nothing of those that follow.
constexpr int kWarmUpSteps = 3;
constexpr int kEvaluationTries = 2;

bool Due(std::int64_t every, std::int64_t step) { return every > 0 && step % every == 0; }

NamedValues Joined(std::initializer_list<NamedValues> parts) {
  NamedValues all;
  for (const NamedValues& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// The loop: Run() is a training, Step() one step of it. What it moves has files of its own: the
// state of the run, its checkpoints, its batches, the update.
class Session {
 public:
  explicit Session(const TrainContext& context);
  ExitCode Run();

 private:
  std::int64_t Prepare();
  void EnterStage(int stage);
  Outcome Step(std::int64_t step);
  std::vector<double> Riders(std::int64_t step, const StepInput& input);
  void AgreeOnSave(std::int64_t step, std::span<const double> sums);
  StepRecord RecordOf(std::int64_t step, double lr, const StepInput& input, const StepOutcome& done,
                      const PhaseClock& clock);
  bool ReplicasDiffer(std::int64_t step);
  std::int64_t RollBack(std::int64_t step, bool other_samples);
  void Save(std::int64_t step, bool final);
  bool EvaluationDue(std::int64_t step) const;
  bool EvaluationMissing(std::int64_t step);
  void Evaluate(std::int64_t step);
  void CheckBest(const NamedValues& figures);
  ExitCode Leave(std::int64_t step);
  ExitCode Finish(std::int64_t step);

  const TrainContext& context_;
  const Config& config_;
  const bool lead_;
  RunState state_;
  TrainStep& train_step_;  // of the state
  BatchSource batches_;
  RunCheckpoints checkpoints_;
  Faults faults_;
  CommTrace comm_trace_;
  TableMeter table_meter_;
  StepSpans spans_;
  std::unique_ptr<RunRecord> record_;      // rank 0 only
  std::unique_ptr<StopWatch> stop_watch_;  // rank 0 only
  std::int64_t first_step_ = 0;            // of this attempt
  int stage_ = 0;
  bool best_checked_ = false;
};

Session::Session(const TrainContext& context)
    : context_(context),
      config_(context.config),
      lead_(context.lead()),
      state_(context),
      train_step_(state_.train_step()),
      batches_(context, train_step_.model()),
      checkpoints_(context, state_),
      faults_(context.faults, context.run_folder, context.comm.rank()),
      comm_trace_(context.comm),
      spans_(config_.record.span_every, lead_) {}

ExitCode Session::Run() {
  const TrainerConfig& plan = config_.trainer;
  std::int64_t step = Prepare();
  while (step < plan.steps) {
    // Of the whole round: what comes between two steps hangs no later than they do.
    const page::In section(step - first_step_ < kWarmUpSteps ? page::Section::kWarmUp
                                                             : page::Section::kStep);
    EnterStage(StageAt(plan, step));
    const Outcome outcome = Step(step);
    ++step;
    if (outcome.verdict == Verdict::kRollBack) {
      step = RollBack(step, /*other_samples=*/true);
      continue;
    }
    const bool last = step == plan.steps, final = outcome.stop || last;
    const bool save = final || Due(plan.checkpoint_every, step);
    const std::int64_t compare = config_.watch.replica_every;
    if (((compare > 0 && save) || Due(compare, step)) && ReplicasDiffer(step)) {
      step = RollBack(step, /*other_samples=*/false);
      continue;
    }
    if (record_) record_->Step(outcome.record);
    if (save) Save(step, final);
    const bool evaluate = EvaluationDue(step);
    if (outcome.stop && (!last || evaluate)) return Leave(step);
    if (evaluate) Evaluate(step);
  }
  return Finish(step);
}

// Everything that comes before the first step; returns the steps already done.
std::int64_t Session::Prepare() {
  const page::In section(page::Section::kLoad);
  const double start = events::Now();
  if (context_.initial != nullptr) state_.TakeInitialWeights(*context_.initial);
  first_step_ = checkpoints_.Restore();
  stage_ = StageAt(config_.trainer, first_step_);
  train_step_.model().SetStage(stage_);
  batches_.Open(state_.position(), stage_);
  if (lead_) {
    record_ = std::make_unique<RunRecord>(
        RunRecordOptions{context_.run_folder, context_.attempt_number, first_step_,
                         config_.trainer.steps, config_.record.prometheus});
    stop_watch_ = std::make_unique<StopWatch>(context_.run_folder);
  }
  events::Span("load", start, events::Now() - start, first_step_);
  if (EvaluationDue(first_step_) && EvaluationMissing(first_step_)) Evaluate(first_step_);
  return first_step_;
}

void Session::EnterStage(int stage) {
  if (stage == stage_) return;
  stage_ = stage;
  state_.watch().Restart();
  train_step_.model().SetStage(stage);
  batches_.SetStage(stage);
}

// From a batch to an update, and to what is known of both.
Outcome Session::Step(std::int64_t step) {
  faults_.At(step + 1);
  const auto fault = ApplyParameterFaults(faults_, train_step_);
  const double start = events::Now(), lr = LearningRate(config_.trainer, step);
  PhaseClock clock;
  const StepInput input = batches_.Next();
  clock.Mark("data");
  faults_.InForward();

  NumbersWatch& watch = state_.watch();
  const auto judge = [&](double loss, double grad_norm) {
    return watch.Judge(step + 1, loss, grad_norm, checkpoints_.Any());
  };
  const StepOutcome done = train_step_.Run(step, input.tensors, lr, Riders(step + 1, input), clock,
                                           {.judge = judge, .early = watch.Decides()});
  TellFinding(step + 1, watch.finding(), done.verdict, input.batches, lead_);
  AgreeOnSave(step + 1, std::span(done.sums).subspan(kSaving, RunCheckpoints::kFlags));

  Outcome outcome{RecordOf(step + 1, lr, input, done, clock), done.sums[kStop] > 0, done.verdict};
  state_.Advance(input.after(), static_cast<std::int64_t>(done.sums[kUnreadable]));
  if (stop_watch_) stop_watch_->StepTook(clock.total());
  spans_.Step(outcome.record, start, clock.seconds());
  return outcome;
}

std::vector<double> Session::Riders(std::int64_t step, const StepInput& input) {
  const bool stop = StopRequested() || (stop_watch_ && stop_watch_->StopNow(EvaluationDue(step)));
  std::vector<double> riders = {stop ? 1.0 : 0.0, static_cast<double>(input.unreadable)};
  for (const double flag : checkpoints_.Flags()) riders.push_back(flag);
  return riders;
}

void Session::AgreeOnSave(std::int64_t step, std::span<const double> sums) {
  if (!checkpoints_.Agree(step, sums) || !lead_) return;
  stop_watch_->SaveTook(checkpoints_.writer().save_seconds());
  record_->Committed(checkpoints_.writer().committed_step());
}

// Collective. While the state still stands before the step's samples.
StepRecord Session::RecordOf(std::int64_t step, double lr, const StepInput& input,
                             const StepOutcome& done, const PhaseClock& clock) {
  const std::int64_t samples = input.after().samples;
  return {.step = step,
          .samples = samples,
          .loss = done.loss,
          .lr = lr,
          .grad_norm = done.grad_norm,
          .samples_per_s = static_cast<double>(samples - state_.position().samples) / clock.total(),
          .losses = done.losses,
          .seconds = Joined({clock.seconds(), input.seconds}),
          .counts =
              Joined({{{"stage", stage_},
                       {"unreadable", done.sums[kUnreadable]},
                       {"saves_abandoned", static_cast<double>(checkpoints_.writer().abandoned())}},
                      state_.watch().Counts(),
                      table_meter_.Read(state_.tables())}),
          .comm = comm_trace_.EndStep()};
}

// Collective. Told of and counted when they do.
bool Session::ReplicasDiffer(std::int64_t step) {
  const ReplicaCheck check = CompareReplicas(train_step_.parameters(), context_.comm);
  if (check.equal) return false;
  TellReplicas(step, check, lead_);
  Require(checkpoints_.Any(), ExitCode::kNumericalStop, "step ", step, ": ", check.text,
          ", and there is no checkpoint to go back to; start again, without the rank's node");
  state_.watch().CountRollBack(step, check.text);
  return true;
}

// The step that the run goes on from: behind the samples consumed so far, or behind its own.
std::int64_t Session::RollBack(std::int64_t step, bool other_samples) {
  const page::In section(page::Section::kLoad);
  const std::int64_t to = checkpoints_.RollBack(step, other_samples);
  if (!other_samples) batches_.Open(state_.position(), stage_);
  if (record_) record_->RollBack(to);
  return to;
}

void Session::Save(std::int64_t step, bool final) {
  const page::In section(final ? page::Section::kWrite : page::Section::kStage);
  if (record_) record_->Sync();
  checkpoints_.Save(step, final);
  if (record_ && final) record_->Committed(step);
}

bool Session::EvaluationDue(std::int64_t step) const {
  const TrainerConfig& plan = config_.trainer;
  return plan.eval_every > 0 && step > 0 && (step == plan.steps || Due(plan.eval_every, step)) &&
         context_.valid && context_.valid->size() > 0;
}

// Collective. A step of this run that a stop or a death left before it was evaluated; not one of
// another run, from which this one began.
bool Session::EvaluationMissing(std::int64_t step) {
  const std::string& run = context_.run_folder;
  bool missing =
      lead_ && HasLineOf(run + "/metrics.jsonl", step) && !HasLineOf(run + "/evals.jsonl", step);
  if (missing && EvaluationsBegun(run, step) >= kEvaluationTries) {
    log::Warning("the run ended ", kEvaluationTries, " times within the evaluation of step ", step,
                 ": it is left out");
    missing = false;
  }
  return !dist::BroadcastBytes(context_.comm, "evaluation.missing", missing ? "yes" : "").empty();
}

void Session::Evaluate(std::int64_t step) {
  const page::In section(page::Section::kEval);
  const events::Scope span("eval", step);
  Lap watch;
  if (lead_) MarkEvaluation(context_.run_folder, step);
  const data::Tokenizer tokenizer(context_.vocabulary.wordpieces);
  train_step_.model().RefreshKnowledge();
  const Figures figures = EvaluateDataset(train_step_.model(), config_, tokenizer, *context_.valid,
                                          "all", context_.comm);
  const NamedValues headline = Headline(figures);
  if (record_) record_->Evaluation(step, headline);
  if (lead_) CheckBest(headline);
  if (lead_) UnmarkEvaluation(context_.run_folder);
  // Rank 0 alone computes: in here, and not in the next step, may the others wait for it.
  context_.comm.Barrier("evaluation").Wait();
  if (stop_watch_) stop_watch_->EvaluationTook(watch());
}

// Once: by a name that no evaluation gives, checkpoint.keep_best keeps nothing.
void Session::CheckBest(const NamedValues& figures) {
  std::string wanted = config_.checkpoint.keep_best;
  if (wanted.empty() || std::exchange(best_checked_, true)) return;
  if (wanted[0] == '-') wanted.erase(0, 1);
  std::vector<std::string> names;
  for (const auto& [name, value] : figures) names.push_back(name);
  if (std::find(names.begin(), names.end(), wanted) != names.end()) return;
  log::Warning("checkpoint.keep_best keeps nothing: this evaluation gives no figure '", wanted, "'",
               DidYouMean(wanted, names), "; there are ", Join(names, ", "));
}

// On request, behind a checkpoint.
ExitCode Session::Leave(std::int64_t step) {
  const page::In section(page::Section::kExit);
  if (lead_) {
    record_->Flush();
    log::Info(comm_trace_.Summary());
    const std::string& reason = stop_watch_->reason();
    log::Info("stopped on request at step ", step, reason.empty() ? "" : " (" + reason + ")",
              "; start again to go on");
  }
  return ExitCode::kSavedResumable;
}

ExitCode Session::Finish(std::int64_t step) {
  const page::In section(page::Section::kExit);
  if (lead_) {
    record_->Flush();
    if (step > first_step_) {
      log::Info(comm_trace_.Summary());
      if (train_step_.slices() != nullptr) log::Info(train_step_.slices()->Cost());
    }
  }
  checkpoints_.MarkDone(step);
  if (lead_) {
    const std::string folder = checkpoints::CheckpointFolder(context_.run_folder);
    log::Info("finished ", step, " steps",
              step > first_step_ ? ""
                                 : StrCat(", all of them before this start: trainer.steps = ",
                                          config_.trainer.steps, " asks for no more"),
              IsDir(folder) ? "; checkpoints in " + folder : "");
  }
  return ExitCode::kFinished;
}

}  // namespace

ExitCode Train(const TrainContext& context) { return Session(context).Run(); }

}  // namespace vesalius::trainer
