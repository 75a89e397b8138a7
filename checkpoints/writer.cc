#include "checkpoints/writer.h"

#include <chrono>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/host.h"
#include "base/log.h"
#include "base/wall_clock.h"
#include "checkpoints/commit.h"
#include "checkpoints/manifest.h"
#include "checkpoints/manifest.pb.h"
#include "checkpoints/protections.h"
#include "checkpoints/save_plan.h"
#include "checkpoints/save_thread.h"
#include "checkpoints/staging.h"

namespace vesalius::checkpoints {
namespace {

constexpr std::chrono::milliseconds kPoll{2};

enum Flag { kWritten, kFailed, kPublished, kBusy, kFencedOff };

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Runs `work` and turns what it throws into a message for the other ranks.
template <typename Work>
void Try(OutcomeProto* outcome, const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    outcome->set_code(static_cast<int>(error.code()));
    outcome->set_message(error.what());
  } catch (const std::exception& error) {
    outcome->set_code(static_cast<int>(ExitCode::kCannotSave));
    outcome->set_message(error.what());
  }
}

[[noreturn]] void FailSave(int code, std::int64_t step, const std::string& cause) {
  const auto exit = static_cast<ExitCode>(code);
  const bool keeps =
      exit == ExitCode::kFenced || exit == ExitCode::kBug || exit == ExitCode::kConfig;
  Fail(keeps ? exit : ExitCode::kCannotSave, "the checkpoint of step ", step, " was not saved, ",
       cause, "; checkpoints saved before are untouched");
}

// Throws the first rank's failure, if any, on every rank.
template <typename Proto>
void FailTogether(const std::vector<Proto>& all, std::int64_t step) {
  for (std::size_t rank = 0; rank < all.size(); ++rank)
    if (const OutcomeProto& outcome = all[rank].outcome(); outcome.code() != 0)
      FailSave(outcome.code(), step, StrCat("rank ", rank, ": ", outcome.message()));
}

// Every rank's message by rank.
template <typename Proto>
std::vector<Proto> Gather(const Exchange& exchange, const std::string& name, int ranks,
                          const Proto& mine) {
  std::vector<Proto> all;
  for (const std::string& bytes : exchange(name, mine.SerializeAsString())) {
    all.emplace_back();
    Invariant(all.back().ParseFromString(bytes), "a message of ", name, " cannot be parsed");
  }
  Invariant(all.size() == static_cast<std::size_t>(ranks), name, " gave ", all.size(),
            " messages for ", ranks, " ranks");
  return all;
}

void Prepare(Staging& staging) {
  try {
    staging.Prepare();
  } catch (const Error& error) {
    log::Warning("the next save has no memory yet: ", error.what());
  }
}

void Drop(const std::string& folder) {
  try {
    RemoveTree(folder);
  } catch (const Error& error) {
    log::Warning("an unfinished checkpoint stays until the next start: ", error.what());
  }
}

// What the caller left open of where and when the step was made.
void FillProvenance(StepInfo* info) {
  if (info->version.empty()) info->version = VESALIUS_VERSION;
  if (info->config_hash.empty()) info->config_hash = Hex64(Hash64(info->config_text));
  if (info->wall_time == 0) info->wall_time = WallNow();
}

}  // namespace

struct Writer::Planned {
  explicit Planned(const StagingOptions& options) : staging(std::make_shared<Staging>(options)) {}
  std::vector<std::uint64_t> layouts;  // by rank, that `plan` was made for
  std::shared_ptr<const SavePlan> plan;
  std::shared_ptr<Staging> staging;  // the thread may outlive the writer on a disk that hangs
};

Writer::Writer(WriterOptions options, const Attempt* attempt, Exchange exchange)
    : options_(std::move(options)),
      attempt_(attempt),
      exchange_(std::move(exchange)),
      planned_(std::make_unique<Planned>(StagingOptions{
          options_.memory_folder, options_.rank, options_.memory_step, options_.host_bytes})),
      thread_(std::make_unique<SaveThread>()) {
  Require(options_.keep.newest >= 2, ExitCode::kConfig, "trainer.keep is ", options_.keep.newest,
          " and must be at least 2: one checkpoint could be damaged");
  Invariant((attempt_ != nullptr) == (options_.rank == 0), "only rank 0 holds the attempt");
  if (options_.rank == 0) SweepLeftovers(options_.run_folder);
}

Writer::~Writer() {
  if (pass_) pass_->Cancel();
}

void Writer::Reserve(const std::vector<TensorView>& tensors) { AgreeOnPlan(tensors, 0); }

void Writer::AgreeOnPlan(const std::vector<TensorView>& tensors, std::int64_t step) {
  PlanProto mine;
  Try(mine.mutable_outcome(), [&] { mine.MergeFrom(DescribeViews(tensors)); });
  mine.set_layout_hash(LayoutHash(tensors));
  const std::vector<PlanProto> plans = Gather(exchange_, "checkpoint.plan", options_.ranks, mine);
  FailTogether(plans, step);
  auto plan = std::make_shared<SavePlan>(MakeSavePlan(tensors, plans, options_.rank));
  TakeMemory(plan->bytes, step);
  planned_->plan = std::move(plan);
  planned_->layouts.clear();
  for (const PlanProto& one : plans) planned_->layouts.push_back(one.layout_hash());
}

// There can be enough for each rank and not for all of a machine: what they want together is
// compared with what was there before any of them took its own.
void Writer::TakeMemory(std::uint64_t bytes, std::int64_t step) {
  Staging& staging = *planned_->staging;
  std::uint64_t available = 0;
  RoomProto mine;
  mine.set_machine(MachineId());
  Try(mine.mutable_outcome(), [&] {
    mine.set_bytes(staging.Plan(bytes));
    available = AvailableMemory();
  });
  std::uint64_t wanted = 0;
  int sharing = 0;
  for (const RoomProto& one : Gather(exchange_, "checkpoint.room", options_.ranks, mine)) {
    if (one.machine() != mine.machine()) continue;
    wanted += one.bytes();
    ++sharing;
  }
  Try(mine.mutable_outcome(), [&] {
    RequireMemory(wanted, available, StrCat("the ", sharing, " rank(s) of ", HostName()));
    staging.Reserve();
  });
  FailTogether(Gather(exchange_, "checkpoint.memory", options_.ranks, mine), step);
}

bool Writer::Start(const StepInfo& info, const std::vector<TensorView>& tensors) {
  if (!WaitUntilIdle(options_.wait)) {
    ++abandoned_;
    if (options_.rank == 0)
      log::Warning("the save of step ", info.step, " is skipped: that of step ", pass_->info.step,
                   " is still under way");
    return false;
  }
  StartProto mine;
  mine.set_step(info.step);
  mine.set_layout_hash(LayoutHash(tensors));
  if (attempt_ != nullptr) {
    mine.set_run_id(attempt_->run_id());
    mine.set_token(attempt_->token());
  }
  const std::vector<StartProto> all = Gather(exchange_, "checkpoint.start", options_.ranks, mine);
  std::vector<std::uint64_t> layouts;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    Invariant(all[rank].step() == info.step, "ranks 0 and ", rank,
              " want to save different tensors or steps");
    layouts.push_back(all[rank].layout_hash());
  }
  if (layouts != planned_->layouts) AgreeOnPlan(tensors, info.step);

  pass_ = std::make_shared<SavePass>();
  pass_->info = info;
  pass_->info.run_id = all[0].run_id();
  pass_->info.token = all[0].token();
  pass_->info.world = options_.ranks;
  FillProvenance(&pass_->info);
  pass_->temporary =
      StrCat(CheckpointFolder(options_.run_folder), "/.tmp-", StepName(info.step).substr(5), "-",
             Replace(pass_->info.token, "/", "_"), "-", ++serial_);
  failed_ = dropped_ = false;
  cause_.clear();
  Enter(Phase::kWriting);
  started_ = entered_;
  try {
    AtSavePoint("stage", info.step, options_.rank);
    char* buffer = planned_->staging->Begin();
    Stage(*planned_->plan, tensors, buffer);
    AtSavePoint("staged", info.step, options_.rank);
    thread_->Post([rank = options_.rank, folder = CheckpointFolder(options_.run_folder),
                   pass = pass_, plan = planned_->plan, staging = planned_->staging,
                   buffer] { WriteShare(rank, folder, *pass, *plan, *staging, buffer); });
  } catch (const Error& error) {
    pass_->Fail(error.code(), error.what());
  }
  if (Now() - entered_ > options_.deadline)
    pass_->Fail(ExitCode::kCannotSave,
                StrCat("copying the state to memory took more than checkpoint.deadline = ",
                       options_.deadline, " s"));
  Enter(Phase::kWriting);  // its time begins now
  return true;
}

std::array<double, Writer::kFlags> Writer::Flags() {
  std::array<double, kFlags> flags{};
  if (phase_ == Phase::kIdle) return flags;
  const bool leader = options_.rank == 0;
  if (phase_ != Phase::kDraining) {
    const bool mine = phase_ == Phase::kWriting || leader;
    const double late = Now() - entered_ - options_.deadline;
    if (mine && late > 0 && Protects(Protection::kDeadline))
      pass_->FailLate(
          phase_ == Phase::kWriting ? SavePass::State::kRunning : SavePass::State::kWritten,
          StrCat(phase_ == Phase::kWriting ? "writing" : "the commit",
                 " took more than checkpoint.deadline = ", options_.deadline, " s"),
          /*even_publishing=*/late > options_.deadline);
    const SavePass::Result result = pass_->result();
    const bool fenced = result.code == ExitCode::kFenced;
    flags[kWritten] = phase_ == Phase::kWriting && result.state == SavePass::State::kWritten;
    flags[kPublished] = result.state == SavePass::State::kCommitted;
    flags[kFailed] = result.state == SavePass::State::kFailed && !fenced;
    if (!Protects(Protection::kAgreement)) flags[kWritten] += std::exchange(flags[kFailed], 0);
    flags[kFencedOff] = result.state == SavePass::State::kFailed && fenced;
  }
  flags[kBusy] = thread_->busy();
  return flags;
}

void Writer::Agree(std::span<const double> sums) {
  Invariant(sums.size() == kFlags, "a save is agreed on with ", sums.size(), " sums");
  if (phase_ == Phase::kIdle) return;
  if (phase_ == Phase::kDraining) {
    if (sums[kBusy] == 0) Rest();
    return;
  }
  if (sums[kFencedOff] > 0) {
    const SavePass::Result own = pass_->result();
    FailSave(static_cast<int>(ExitCode::kFenced), pass_->info.step,
             !cause_.empty()        ? cause_
             : !own.message.empty() ? own.message
                                    : "another attempt has taken the run folder");
  }
  if (sums[kFailed] > 0) {
    Abandon();
  } else if (sums[kPublished] > 0) {
    committed_step_ = pass_->info.step;
    save_seconds_ = Now() - started_;
    // Not before: until all ranks have this state, the one before it is the last that is whole.
    if (!options_.memory_folder.empty())
      thread_->Post([staging = planned_->staging] { Prepare(*staging); });
    Enter(Phase::kDraining);
  } else if (phase_ == Phase::kWriting && sums[kWritten] == options_.ranks) {
    Enter(Phase::kCommitting);
    if (options_.rank == 0) PostCommit();
  }
}

void Writer::PostCommit() {
  CommitJob job{
      options_.run_folder, pass_->temporary, pass_->info.step,
      options_.ranks,      attempt_,         [pass = pass_](bool last) { pass->Check(last); }};
  thread_->Post([job, keep = options_.keep, pass = pass_] {
    pass->Run(SavePass::State::kCommitted, [&] { Commit(job); });
    if (pass->result().state == SavePass::State::kCommitted)
      RemoveOldSteps(job.run_folder, keep, job.step);
    else
      Drop(job.temporary);
  });
}

void Writer::Abandon() {
  ++abandoned_;
  failed_ = true;
  const SavePass::Result own = pass_->result();
  pass_->Cancel();
  if (own.state == SavePass::State::kFailed)
    log::Failure("rank ", options_.rank, " could not save step ", pass_->info.step, ": ",
                 own.message);
  if (options_.rank == 0)
    log::Warning("the save of step ", pass_->info.step,
                 " is given up by all ranks; training goes on, checkpoints saved before are "
                 "untouched");
  Enter(Phase::kDraining);
}

// Every rank's thread is at rest: nobody writes any more into the folder of a save given up.
void Writer::Rest() {
  if (!failed_ || dropped_) return Enter(Phase::kIdle);
  dropped_ = true;
  if (options_.rank == 0) thread_->Post([folder = pass_->temporary] { Drop(folder); });
}

void Writer::Enter(Phase phase) {
  phase_ = phase;
  entered_ = Now();
}

// Waits, all ranks alike, at most `seconds` by rank 0's clock.
bool Writer::WaitUntilIdle(double seconds) {
  const double begun = Now();
  for (bool over = false; phase_ != Phase::kIdle;) {
    if (over) return false;
    std::this_thread::sleep_for(kPoll);
    PollProto mine;
    const auto flags = Flags();
    mine.mutable_flags()->Add(flags.begin(), flags.end());
    mine.set_give_up(Now() - begun > seconds);
    if (const SavePass::Result own = pass_->result(); own.state == SavePass::State::kFailed) {
      mine.mutable_outcome()->set_code(static_cast<int>(own.code));
      mine.mutable_outcome()->set_message(own.message);
    }
    const std::vector<PollProto> all = Gather(exchange_, "checkpoint.poll", options_.ranks, mine);
    std::array<double, kFlags> sums{};
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
      for (std::size_t f = 0; f < kFlags; ++f) sums[f] += all[rank].flags(static_cast<int>(f));
      if (all[rank].outcome().code() != 0 && cause_.empty()) {
        cause_code_ = all[rank].outcome().code();
        cause_ = StrCat("rank ", rank, ": ", all[rank].outcome().message());
      }
    }
    over = all[0].give_up();
    Agree(sums);
  }
  return true;
}

void Writer::Settle() {
  // Writing and commit are bounded by their deadlines; what is left is a disk that never answers.
  Require(WaitUntilIdle(4 * options_.deadline), ExitCode::kCannotSave, "the save of step ",
          pass_->info.step, " was given up and its writes do not return: the disk does not answer");
}

std::string Writer::Finish() {
  Settle();
  if (!pass_) return "";
  if (failed_)
    FailSave(cause_code_, pass_->info.step, cause_.empty() ? "a rank's log says why" : cause_);
  return StrCat(CheckpointFolder(options_.run_folder), "/", StepName(pass_->info.step));
}

std::string Writer::Save(const StepInfo& info, const std::vector<TensorView>& tensors) {
  Settle();
  Invariant(Start(info, tensors), "an idle writer does not start");
  return Finish();
}

}  // namespace vesalius::checkpoints
