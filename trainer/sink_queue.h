// A queue between the training loop and one place that its record goes to (a file, a screen): a
// thread of its own writes, so that a full, slow or stuck place never blocks a step. What does not
// fit in the queue, and what cannot be written, is dropped and counted; the first failure is
// warned of. Each place has its own, so that one that is stuck holds up no other. Jobs are done in
// batches, a fifth of a second after they were posted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace vesalius::trainer {

class SinkQueue {
 public:
  using Job = std::function<void()>;  // throws Error when it cannot write

  // `name` for the warning. `finish` follows each batch of jobs; when it fails, all of them have.
  // Jobs own what they touch: one that hangs outlives the queue.
  SinkQueue(std::string name, std::size_t capacity, Job finish = {});
  // Waits for the jobs so far, a second at most.
  ~SinkQueue();
  SinkQueue(const SinkQueue&) = delete;
  SinkQueue& operator=(const SinkQueue&) = delete;

  // Never blocks, never throws for what the job does. Thread-safe, like everything here.
  void Post(Job job);
  // Waits until all jobs posted so far are done, at most `seconds`; whether they are.
  bool Flush(double seconds);
  std::int64_t dropped() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace vesalius::trainer
