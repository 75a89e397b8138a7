// Saves checkpoints beside the training, all ranks together, atomically: a save is copied to memory
// (Start), a thread of each rank writes its share, the ranks learn from sums that ride on the
// training's own all-reduce how far all are, and rank 0's thread publishes (docs/checkpoints.md).
// What fails or is late on one rank is given up by all; training goes on.
//
// The phase is the same on every rank at every step, since it follows from agreed sums alone. All
// calls come from the training's thread, and collective ones in the same order on every rank.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoints/attempt.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/retention.h"

namespace vesalius::checkpoints {

class SavePass;
class SaveThread;

// Byte exchange between ranks, so that this room needs no communicator: every rank's bytes by rank.
using Exchange =
    std::function<std::vector<std::string>(const std::string& name, const std::string& mine)>;

struct WriterOptions {
  std::string run_folder;
  int rank = 0, ranks = 1;
  RetentionPolicy keep = {};
  double deadline = 600;           // seconds that staging, writing and commit may take each
  double wait = 5;                 // seconds that Start waits for the save before it
  std::uint64_t host_bytes = 0;    // limit of what a rank stages; 0 = none
  std::string memory_folder = {};  // of the node (checkpoints/memory_tier.h); "": none
  std::int64_t memory_step = -1;   // that the run goes on from, if it is in that folder
};

class Writer {
 public:
  static constexpr std::size_t kFlags = 5;

  // `attempt` is null on ranks other than 0. Rank 0 sweeps temporary folders of other tokens.
  Writer(WriterOptions options, const Attempt* attempt, Exchange exchange);
  // Gives up what is still under way.
  ~Writer();

  // Collective, optional: plans for these tensors and takes the memory, so that the first save does
  // not. Error(kConfig, kCannotSave) on every rank when a machine has not enough for its ranks.
  void Reserve(const std::vector<TensorView>& tensors);

  // Collective. `tensors`: the full list in the same order on every rank; replicated tensors are
  // written by one rank each (balanced by bytes). One tensor may be listed several times in a row,
  // for several boxes of it. On return they are copied and may change. False, and counted, when the
  // save before is still under way after options.wait.
  bool Start(const StepInfo& info, const std::vector<TensorView>& tensors);

  // To be summed over the ranks with the training's own values once a step ...
  std::array<double, kFlags> Flags();
  // ... and what came out. Error(kFenced) on every rank when another attempt has the run folder.
  void Agree(std::span<const double> sums);

  // Collective. Waits until the save under way, if any, is committed; its folder, "" when there was
  // none. Error(kCannotSave) with the first cause on every rank when it is given up.
  std::string Finish();
  // Finish() that does not throw for a save given up: for a save that is not the last.
  void Settle();

  // Start and Finish.
  std::string Save(const StepInfo& info, const std::vector<TensorView>& tensors);

  // The same on every rank.
  std::int64_t committed_step() const { return committed_step_; }  // -1: none by this object
  double save_seconds() const { return save_seconds_; }            // of that save, from its start
  std::int64_t abandoned() const { return abandoned_; }  // saves given up, late or skipped

 private:
  enum class Phase { kIdle, kWriting, kCommitting, kDraining };
  struct Planned;

  void AgreeOnPlan(const std::vector<TensorView>& tensors, std::int64_t step);
  void TakeMemory(std::uint64_t bytes, std::int64_t step);
  bool WaitUntilIdle(double seconds);
  void PostCommit();
  void Abandon();
  void Rest();
  void Enter(Phase phase);

  WriterOptions options_;
  const Attempt* attempt_;
  Exchange exchange_;
  std::unique_ptr<Planned> planned_;
  std::shared_ptr<SavePass> pass_;  // the last one
  Phase phase_ = Phase::kIdle;
  double entered_ = 0, started_ = 0;  // phase and save, on the monotonic clock
  double save_seconds_ = 0;
  std::int64_t serial_ = 0, committed_step_ = -1, abandoned_ = 0;
  bool failed_ = false, dropped_ = false;  // the last save, its folder
  int cause_code_ = 0;                     // as far as it is known on this rank
  std::string cause_;
  std::unique_ptr<SaveThread> thread_;
};

}  // namespace vesalius::checkpoints
