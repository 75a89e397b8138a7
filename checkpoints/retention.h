// Which checkpoints stay, and the sweeping of what saves and deletions left behind. Rank 0 of the
// run that owns the folder only, never while a save is under way.
#pragma once

#include <cstdint>
#include <string>

namespace vesalius::checkpoints {

// Removes RUN/ckpt/.tmp-* and RUN/ckpt/.trash-*: called before the first save of an attempt, when
// all of them belong to attempts that are over. What cannot be removed is logged.
void SweepLeftovers(const std::string& run_folder);

// Removes all but the newest `keep` (>= 2) checkpoints that open without complaint, and whatever is
// older than those; `committed` always stays. Each goes by a rename to .trash-*, so that a reader
// never meets a half-deleted one. What cannot be removed is logged.
void RemoveOldSteps(const std::string& run_folder, int keep, std::int64_t committed);

}  // namespace vesalius::checkpoints
