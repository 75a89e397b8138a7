// Watches loss and gradient norm, which are the same on every rank, and decides alike on all of
// them what becomes of a step's update: a step that is not finite is skipped, one that stands far
// out of the steps before it is told of, skipped, or undone together with the steps since the last
// checkpoint. Too many of either end the run. Deterministic; its state travels in checkpoints, so
// that a resumed run decides as the uninterrupted one does.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "trainer/config.h"
#include "trainer/robust_window.h"

namespace vesalius::trainer {

enum class Verdict { kApply, kSkip, kRollBack };

class NumbersWatch {
 public:
  explicit NumbersWatch(const WatchConfig& config);

  // Whether Judge() must be asked before the update: else only what is not finite stops one.
  bool Decides() const { return config_.spike > 0 && config_.action != SpikeAction::kFlag; }

  // The verdict on step `step` (counted from 1). Updates counts and windows. `can_roll_back`: there
  // is a checkpoint; else a step to be undone is skipped. Error(kNumericalStop) on the step that is
  // one too many.
  Verdict Judge(std::int64_t step, double loss, double grad_norm, bool can_roll_back);

  // What the last Judge() found odd, for people: "" when nothing.
  const std::string& finding() const { return finding_; }

  // Roll-backs for another reason (replicas that differ) count too, and may be one too many.
  void CountRollBack(std::int64_t step, const std::string& why);

  // The losses mean something else from now on (a new stage).
  void Restart();

  // Totals of the run: skipped, spikes, rollbacks.
  std::vector<std::pair<std::string, double>> Counts() const;

  // For checkpoints. Parse: Error(kInvalidData). After a roll-back only the medians go back
  // (`keep_counts`), or the run could undo the same steps for ever.
  std::string Serialize() const;
  void Parse(const std::string& text, bool keep_counts = false);

 private:
  void Skip(std::int64_t step);

  const WatchConfig config_;
  RobustWindow losses_, norms_;
  std::deque<std::int64_t> skipped_, rolled_back_;  // steps, of the last 1,000
  std::int64_t skips_ = 0, spikes_ = 0, rollbacks_ = 0;
  std::string finding_;
};

}  // namespace vesalius::trainer
