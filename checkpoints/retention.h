// Which checkpoints stay, and the sweeping of what saves and deletions left behind. Rank 0 of the
// run that owns the folder only, never while a save is under way.
#pragma once

#include <cstdint>
#include <string>

namespace vesalius::checkpoints {

// A step stays when any of these keeps it. A pinned one (a file PINNED in its folder) always does.
struct RetentionPolicy {
  int newest = 3;          // good checkpoints, >= 2
  std::int64_t every = 0;  // steps; 0 = off: multiples of it stay
  std::string best = {};  // figure of RUN/evals.jsonl; the step with its best value stays; "" = off
};

// Removes RUN/ckpt/.tmp-* and RUN/ckpt/.trash-*: called before the first save of an attempt, when
// all of them belong to attempts that are over. What cannot be removed is logged.
void SweepLeftovers(const std::string& run_folder);

// Removes what the policy does not keep. Each goes by a rename to .trash-*, so that a reader never
// meets a half-deleted one. After a commit a step counts as good when it opens without complaint;
// `committed`, which is known to be good, always stays. What cannot be removed is logged.
void RemoveOldSteps(const std::string& run_folder, const RetentionPolicy& policy,
                    std::int64_t committed);

// The same for a person, leftovers included: only steps whose every byte verifies count, so that
// the last good one stays. Error(kCannotCreate) naming what cannot be removed; Error(kInputMissing)
// when a step cannot be read.
void PruneSteps(const std::string& run_folder, const RetentionPolicy& policy);

inline constexpr const char* kPinName = "PINNED";
bool IsPinned(const std::string& step_folder);
// Error(kCannotCreate).
void Pin(const std::string& step_folder);
void Unpin(const std::string& step_folder);

}  // namespace vesalius::checkpoints
