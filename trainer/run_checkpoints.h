// The checkpoints of one training run, as the loop sees them: it goes on from one, leaves others
// behind, and may go back to the last. All ranks decide alike, by agreement or from agreed sums,
// and a checkpoint that is damaged for one rank is used by none.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "checkpoints/writer.h"
#include "trainer/run_state.h"

namespace vesalius::trainer {

class RunCheckpoints {
 public:
  static constexpr std::size_t kFlags = checkpoints::Writer::kFlags;

  // References must outlive this.
  RunCheckpoints(const TrainContext& context, RunState& state);

  // Collective, before everything else: the state from the newest checkpoint that is good on every
  // rank, or left as it is when the run starts afresh; then its tables. Returns the steps done.
  std::int64_t Restore();

  // Collective. A final save is waited for and must succeed; another one runs beside the next
  // steps, and one that fails is counted.
  void Save(std::int64_t step, bool final);

  // How far the save under way is: to be summed over the ranks once a step, and what came out.
  // True on every rank when that committed a checkpoint.
  std::array<double, kFlags> Flags() { return writer_->Flags(); }
  bool Agree(std::int64_t step, std::span<const double> sums);

  // Has the run one on disk, to go back to?
  bool Any() const { return on_disk_ || writer_->committed_step() >= 0; }

  // Collective: everything as in the newest checkpoint on disk that is good on every rank, whose
  // step is returned; newer ones that are damaged go to quarantine, newer states in memory are
  // forgotten. With `other_samples` the run goes on behind the samples consumed so far instead of
  // consuming them again. Error(kNumericalStop) when none is good.
  std::int64_t RollBack(std::int64_t step, bool other_samples);

  // The run has all its steps: rank 0 says so in the run folder.
  void MarkDone(std::int64_t step) const;

  // The same on every rank.
  const checkpoints::Writer& writer() const { return *writer_; }

 private:
  using Load = std::function<void(const std::string& source)>;
  using NextOlder = std::function<std::string(const std::string& source, const std::string& why)>;

  std::string FirstGood(std::string source, const Load& load, const NextOlder& next_older);
  std::string NewestOnDisk();
  std::string AgreeOnDamage(const std::string& mine);
  void MakeWriter(std::int64_t step);

  const TrainContext& context_;
  RunState& state_;
  std::string source_;                           // that the run went on from; "": a fresh start
  bool on_disk_ = false;                         // the run had steps there when it went on
  std::unique_ptr<checkpoints::Writer> writer_;  // once the state is restored
};

}  // namespace vesalius::trainer
