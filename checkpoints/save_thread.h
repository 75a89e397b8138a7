// The part of a save that runs beside the training: one thread a rank, at low priority, and what it
// and the training's thread share about the save under way.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/exit_codes.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/save_plan.h"
#include "checkpoints/staging.h"

namespace vesalius::checkpoints {

// One save on one rank. Thread-safe but for the members that are set before it is shared.
class SavePass {
 public:
  enum class State { kRunning, kWritten, kCommitted, kFailed };
  struct Result {
    State state = State::kRunning;
    ExitCode code = ExitCode::kFinished;
    std::string message;
  };
  struct Cancelled {};  // thrown by Check, caught by Run

  StepInfo info;
  std::string temporary;  // folder

  Result result() const;
  // Given up by all: whatever is still running ends at its next Check and changes nothing more.
  void Cancel();
  // Does nothing to a save that has failed already.
  void Fail(ExitCode code, const std::string& message);
  // Fails the save if it is still in `state`. One that is being published is left alone, unless
  // `even_publishing`.
  void FailLate(State state, const std::string& message, bool even_publishing);
  // Throws Cancelled once the save is given up. With `publishing`, it may not be late any more.
  void Check(bool publishing = false);
  // Runs `work` and keeps how it ended: in `done`, or failed.
  void Run(State done, const std::function<void()>& work);

 private:
  mutable std::mutex mutex_;
  Result result_;
  bool cancelled_ = false, publishing_ = false;
};

// A thread at nice 10 that runs jobs one after the other.
class SaveThread {
 public:
  SaveThread();
  // Waits 1 s for the job that runs, then leaves it to itself: a write to a dead disk never
  // returns.
  ~SaveThread();
  SaveThread(const SaveThread&) = delete;
  SaveThread& operator=(const SaveThread&) = delete;

  void Post(std::function<void()> job);  // jobs do not throw
  bool busy() const;                     // a job runs or waits

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::function<void()>> jobs;
    bool running = false, stop = false;
  };
  static void Loop(const std::shared_ptr<Shared>& shared);

  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

// Writes a rank's staged share into the pass's temporary folder, in the folder `checkpoints`, and
// keeps the outcome in `pass`. Rank 0 makes sure first that there is room for all.
void WriteShare(int rank, const std::string& checkpoints, SavePass& pass, const SavePlan& plan,
                Staging& staging, const char* buffer);

}  // namespace vesalius::checkpoints
