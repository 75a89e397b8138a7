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
  mutable std::mutex mutex;
  std::condition_variable wake, idle;
  std::deque<Job> jobs;
  int flushing = 0;  // callers that wait for the jobs to be done
  bool working = false, closed = false, warned = false;
  std::int64_t dropped = 0;

  State(std::string its_name, std::size_t its_capacity)
      : name(std::move(its_name)), capacity(its_capacity) {}

  bool Done() const { return jobs.empty() && !working; }

  void Run() {
    std::unique_lock<std::mutex> lock(mutex);
    while (true) {
      wake.wait(lock, [&] { return closed || !jobs.empty(); });
      if (jobs.empty()) return;
      wake.wait_for(lock, kGather, [&] { return closed || flushing > 0; });
      while (!jobs.empty()) DoNext(lock);
      idle.notify_all();
    }
  }

  void DoNext(std::unique_lock<std::mutex>& lock) {
    Job job = std::move(jobs.front());
    jobs.pop_front();
    working = true;
    lock.unlock();
    std::string failure;
    try {
      job();
    } catch (const std::exception& error) {
      failure = error.what();
    }
    job = nullptr;
    lock.lock();
    working = false;
    if (!failure.empty()) Failed(failure);
  }

  void Failed(const std::string& failure) {
    ++dropped;
    if (!std::exchange(warned, true))
      log::Warning(name, ": ", failure, "; the run goes on, what cannot be written is counted");
  }
};

SinkQueue::SinkQueue(std::string name, std::size_t capacity)
    : state_(std::make_shared<State>(std::move(name), capacity)) {
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
    if (state_->jobs.size() > 1 || state_->working) return;  // it is awake
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
