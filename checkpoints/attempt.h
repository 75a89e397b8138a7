// The fence of a run folder: which attempt owns it (fault-tolerance rules: docs/checkpoints.md).
// RUN/ATTEMPT holds the highest token so far, raised only, compared under a lock on RUN/.lock. The
// live owner also holds an exclusive lock on RUN/.owner, so that a second run in the same folder is
// refused while the first lives, and takes over (fencing leftovers) once it is dead.
#pragma once

#include <memory>
#include <string>

#include "checkpoints/checkpoint.h"

namespace vesalius::checkpoints {

class Attempt {
 public:
  // Rank 0 of a starting run. Creates the folder where needed, takes ownership, raises the token.
  // Owned by a living process: Error(kFenced) naming its pid and host. With VESALIUS_GENERATION=N
  // in the environment the attempt is one of launch N: it takes the folder over from a living owner
  // of this or an older launch, which is fenced; Error(kFenced) when a newer launch has it.
  static std::unique_ptr<Attempt> Acquire(const std::string& run_folder);
  virtual ~Attempt() = default;                  // gives up ownership; the token stays
  virtual const std::string& token() const = 0;  // "run/generation/attempt", totally ordered
  virtual int number() const = 0;                // the attempt's ordinal in this folder, from 1
  virtual const std::string& run_id() const = 0;
  // Error(kFenced) when a newer attempt has taken the folder, or it is gone. Error(kInputMissing)
  // when a disk that fails does not tell, kInvalidData when the token is damaged: no reason to end.
  // Called before every rename.
  virtual void CheckFence() const = 0;
};

// Writes RUN/DONE, the mark of a finished run: a JSON object with step, samples and token of
// `info`.
void MarkDone(const std::string& run_folder, const StepInfo& info);
// Removes RUN/DONE: a run that goes on is not finished. Called once the start is not refused any
// more.
void UnmarkDone(const std::string& run_folder);

}  // namespace vesalius::checkpoints
