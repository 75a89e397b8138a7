// Rank 0's end of a save: from shards and parts in a temporary folder to a visible checkpoint. The
// order of operations is the promise (docs/checkpoints.md): nothing is visible before all of it is
// on disk, and nothing of a fenced attempt ever is.
#pragma once

#include <functional>
#include <string>

#include "checkpoints/attempt.h"
#include "checkpoints/checkpoint.h"

namespace vesalius::checkpoints {

struct CommitJob {
  std::string run_folder;
  std::string temporary;  // holds rank-NNNN.shard and rank-NNNN.part of every rank
  std::int64_t step = 0;
  int ranks = 1;
  const Attempt* attempt = nullptr;
  // Throws when the save has been abandoned. Called between operations; the last time, with `last`,
  // right before the rename: after that the save is not abandoned any more.
  std::function<void(bool last)> check;
};

// The visible folder. A good step that is there already stays and ours is dropped; a damaged one
// goes to quarantine first. Errors: kCannotSave, kFenced, kBug (ranks do not hold every tensor
// exactly), and what `check` throws.
std::string Commit(const CommitJob& job);

// Error(kCannotSave) with the numbers unless `folder` has 1.2 times `bytes` free.
void CheckSpace(const std::string& folder, std::uint64_t bytes);

// Tests only: called at named points of a save on whatever thread is there: "stage", "staged",
// "write" (a first piece is written), "written", "manifest" (it is on disk), "rename" (done, not
// yet synced), "committed". Not thread-safe against saves.
using SavePoint = std::function<void(const char* point, std::int64_t step, int rank)>;
void SetSavePoint(SavePoint point);
void AtSavePoint(const char* point, std::int64_t step, int rank);

}  // namespace vesalius::checkpoints
