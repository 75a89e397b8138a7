// Which checkpoints stay, and the sweeping of what saves and deletions left behind. Rank 0 of the
// run that owns the folder only, never while a save is under way.
#pragma once

#include <cstdint>
#include <string>

namespace vesalius::checkpoints {

// A step stays when any of these keeps it. A pinned one (a file PINNED in its folder) always does.
struct RetentionPolicy {
  int newest = 3;          // checkpoints that open without complaint, >= 2
  std::int64_t every = 0;  // steps; 0 = off: multiples of it stay
  std::string best = {};  // figure of RUN/evals.jsonl; the step with its best value stays; "" = off
};

// Removes RUN/ckpt/.tmp-* and RUN/ckpt/.trash-*: called before the first save of an attempt, when
// all of them belong to attempts that are over. What cannot be removed is logged.
void SweepLeftovers(const std::string& run_folder);

// Removes what the policy does not keep; `committed` always stays. Each goes by a rename to
// .trash-*, so that a reader never meets a half-deleted one. What cannot be removed is logged.
void RemoveOldSteps(const std::string& run_folder, const RetentionPolicy& policy,
                    std::int64_t committed);

inline constexpr const char* kPinName = "PINNED";
bool IsPinned(const std::string& step_folder);
// Error(kCannotCreate).
void Pin(const std::string& step_folder);
void Unpin(const std::string& step_folder);

}  // namespace vesalius::checkpoints
