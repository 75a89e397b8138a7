#include "trainer/sink_queue.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "base/log.h"

namespace vesalius::trainer {
namespace {

// How long a job may wait for others, since what a thread costs is mostly its waking up.
constexpr std::chrono::milliseconds kGather{200};

}  // namespace

struct SinkQueue::State {
  std::string name;
  std::size_t capacity;
  Job finish;
  mutable std::mutex mutex;
  std::condition_variable wake, idle;
  std::deque<Job> jobs;
  int flushing = 0;  // callers that wait for the jobs to be done
  bool working = false, closed = false, warned = false;
  std::int64_t dropped = 0;

  State(std::string its_name, std::size_t its_capacity, Job its_finish)
      : name(std::move(its_name)), capacity(its_capacity), finish(std::move(its_finish)) {}

  bool Done() const { return jobs.empty() && !working; }

  void Run() {
    std::unique_lock<std::mutex> lock(mutex);
    while (true) {
      wake.wait(lock, [&] { return closed || !jobs.empty(); });
      if (jobs.empty()) return;
      wake.wait_for(lock, kGather, [&] { return closed || flushing > 0; });
      std::deque<Job> batch;
      batch.swap(jobs);
      working = true;
      lock.unlock();
      std::string failure;
      std::int64_t failed = 0;
      for (Job& job : batch) {
        failed += Do(job, &failure) ? 0 : 1;
        job = nullptr;
      }
      if (finish && !Do(finish, &failure)) failed = static_cast<std::int64_t>(batch.size());
      lock.lock();
      working = false;
      dropped += failed;
      if (failed > 0 && !std::exchange(warned, true))
        log::Warning(name, ": ", failure, "; the run goes on, what cannot be written is counted");
      idle.notify_all();
    }
  }

  static bool Do(const Job& job, std::string* failure) {
    try {
      job();
      return true;
    } catch (const std::exception& error) {
      *failure = error.what();
      return false;
    }
  }
};

SinkQueue::SinkQueue(std::string name, std::size_t capacity, Job finish)
    : state_(std::make_shared<State>(std::move(name), capacity, std::move(finish))) {
  std::thread([state = state_] { state->Run(); }).detach();  // it may hang: see the destructor
}

SinkQueue::~SinkQueue() {
  Flush(1);
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->closed = true;
  state_->wake.notify_one();
}

void SinkQueue::Post(Job job) {
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    if (state_->jobs.size() >= state_->capacity) {
      ++state_->dropped;
      return;
    }
    state_->jobs.push_back(std::move(job));
    if (state_->jobs.size() > 1 || state_->working) return;  // the thread knows, or will look
  }
  state_->wake.notify_one();
}

bool SinkQueue::Flush(double seconds) {
  std::unique_lock<std::mutex> lock(state_->mutex);
  ++state_->flushing;
  state_->wake.notify_one();
  const bool done = state_->idle.wait_for(lock, std::chrono::duration<double>(seconds),
                                          [&] { return state_->Done(); });
  --state_->flushing;
  return done;
}

std::int64_t SinkQueue::dropped() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->dropped;
}

}  // namespace vesalius::trainer
