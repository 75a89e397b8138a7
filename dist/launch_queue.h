// One thread with one ordered queue: the backends between processes run their collectives here, so
// that callers go on at once and the order on the wire is the order of the calls.
#pragma once

#include <functional>
#include <memory>

#include "dist/communicator.h"

namespace vesalius::dist {

// Thread-safe. Jobs run one after another, in the order of Submit.
class LaunchQueue {
 public:
  LaunchQueue();
  ~LaunchQueue();  // runs what is queued, then joins; after Abandon() returns at once
  LaunchQueue(const LaunchQueue&) = delete;
  LaunchQueue& operator=(const LaunchQueue&) = delete;

  // Waiting throws what `job` threw. When the work is dropped before the job has ended,
  // `on_drop` is called (it must make the job end soon) and the drop blocks until the job has
  // ended.
  std::shared_ptr<Ticket::Work> Submit(std::function<void()> job, std::function<void()> on_drop);

  // Runs `job` on the calling thread when nothing is queued or running, as one of the queue's jobs;
  // else does nothing and returns false. What `job` throws is thrown.
  bool TryRun(const std::function<void()>& job);

  // Submit and wait.
  void Call(std::function<void()> job);

  // For a job that nobody waits for; what it throws is lost.
  void Post(std::function<void()> job);

  // Like Call with a job that throws nothing, but gives up after `limit`; false then.
  bool CallFor(std::function<void()> job, std::chrono::milliseconds limit);

  // Leaves the thread to itself; whatever its jobs use must be kept alive by them.
  void Abandon();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace vesalius::dist
