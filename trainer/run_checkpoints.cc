#include "trainer/run_checkpoints.h"

#include <algorithm>

#include "base/error.h"
#include "base/event_log.h"
#include "base/log.h"
#include "base/rank_page.h"
#include "checkpoints/source.h"

namespace vesalius::trainer {
namespace {

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

}  // namespace

RunCheckpoints::RunCheckpoints(const TrainContext& context, RunState& state)
    : context_(context), state_(state), source_(context.resume_from) {}

std::int64_t RunCheckpoints::Restore() {
  std::int64_t step = 0;
  source_ = FirstGood(
      source_, [&](const std::string& source) { step = state_.Load(source); }, context_.fall_back);
  if (context_.lead() && !source_.empty())
    log::Info("resumed from ", source_, " (step ", step, ", ", state_.position().samples,
              " samples)");
  on_disk_ = !NewestOnDisk().empty();
  state_.SetUpTables(source_);
  MakeWriter(step);
  return step;
}

// Collective: loads `source`, or what is next as long as a rank finds damage; what was good on
// every rank, "" when there was none.
std::string RunCheckpoints::FirstGood(std::string source, const Load& load,
                                      const NextOlder& next_older) {
  while (!source.empty()) {
    std::string damage;
    try {
      load(source);
    } catch (const Error& error) {
      // What cannot be read on disk may be good; memory is a copy and can be done without.
      if (error.code() != ExitCode::kInvalidData &&
          !(error.code() == ExitCode::kInputMissing && checkpoints::IsMemorySource(source)))
        throw;
      damage = StrCat("rank ", context_.comm.rank(), ": ", error.what());
    }
    damage = AgreeOnDamage(damage);
    if (damage.empty()) break;
    source = next_older(source, damage);
  }
  return source;
}

// Collective: the run's newest step on disk by its manifest, as rank 0 sees it; "" for none.
std::string RunCheckpoints::NewestOnDisk() {
  std::vector<std::string> skipped;
  std::string newest;
  if (context_.lead())
    newest = checkpoints::NewestSource(context_.run_folder, "", /*memory=*/{}, &skipped);
  for (const std::string& reason : skipped) log::Warning("passed over ", reason);
  return dist::AllGatherBytes(context_.comm, "newest checkpoint", newest)[0];
}

// Collective: the first rank's that found any.
std::string RunCheckpoints::AgreeOnDamage(const std::string& mine) {
  for (const std::string& damage : dist::AllGatherBytes(context_.comm, "resume.damage", mine))
    if (!damage.empty()) return damage;
  return "";
}

// Collective.
void RunCheckpoints::MakeWriter(std::int64_t step) {
  const bool from_memory = checkpoints::IsMemorySource(source_);
  writer_ = std::make_unique<checkpoints::Writer>(
      WriterOptionsOf(context_, from_memory ? step : -1), context_.attempt,
      [this](const std::string& name, const std::string& mine) {
        return dist::AllGatherBytes(context_.comm, name, mine);
      });
  std::vector<at::Tensor> staging;
  writer_->Reserve(state_.Views(&staging));
}

void RunCheckpoints::Save(std::int64_t step, bool final) {
  const events::Scope stall("save", step);
  std::vector<at::Tensor> staging;
  const std::vector<checkpoints::TensorView> views = state_.Views(&staging);
  if (final)
    writer_->Save(state_.Info(step), views);
  else
    writer_->Start(state_.Info(step), views);
}

bool RunCheckpoints::Agree(std::int64_t step, std::span<const double> sums) {
  const std::int64_t before = writer_->committed_step(), given_up = writer_->abandoned();
  writer_->Agree(sums);
  const std::int64_t committed = writer_->committed_step();
  if (committed >= 0) page::SetCommitted(committed);
  if (context_.lead() && committed != before)
    events::Instant("save.committed", committed, {{"seconds", writer_->save_seconds()}});
  if (context_.lead() && writer_->abandoned() != given_up) events::Failure("save.abandoned", step);
  return committed != before;
}

std::int64_t RunCheckpoints::RollBack(std::int64_t step, bool other_samples) {
  writer_->Settle();
  std::int64_t to = 0;
  const auto load = [&](const std::string& source) {
    const std::unique_ptr<checkpoints::Reader> reader = checkpoints::OpenSource(source);
    to = reader->info().step;
    // Before the ranks agree: once one goes on, no restart finds what is undone.
    checkpoints::ForgetMemory(checkpoints::MemoryFolder(), to);
    state_.GoBack(*reader, other_samples);
  };
  const auto next_older = [&](const std::string& source, const std::string& why) {
    if (context_.lead()) {
      log::Warning(why, "; ", source, " is moved to quarantine");
      checkpoints::Quarantine(source);
    }
    return NewestOnDisk();
  };
  Require(!FirstGood(NewestOnDisk(), load, next_older).empty(), ExitCode::kNumericalStop,
          context_.run_folder, " holds no good checkpoint to go back to");
  if (context_.lead()) log::Info("back from step ", step, " to step ", to);
  events::Instant("rollback", step, {{"to", to}, {"samples", state_.position().samples}});
  return to;
}

void RunCheckpoints::MarkDone(std::int64_t step) const {
  if (!context_.lead()) return;
  checkpoints::StepInfo done;
  done.step = step;
  done.samples = state_.position().samples;
  done.token = context_.token;
  checkpoints::MarkDone(context_.run_folder, done);
}

}  // namespace vesalius::trainer
