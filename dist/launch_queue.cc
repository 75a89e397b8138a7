#include "dist/launch_queue.h"

#include <sys/prctl.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "base/error.h"

namespace vesalius::dist {
namespace {

struct Job {
  std::function<void()> body;
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  // What it threw, as values: whoever waits throws an exception that no other thread ever sees.
  ExitCode code = ExitCode::kFinished;
  std::string message;

  void Run() {
    try {
      body();
    } catch (const Error& error) {
      Fail(error.code(), error.what());
    } catch (const std::exception& error) {
      Fail(ExitCode::kBug, StrCat("internal error: ", error.what()));
    }
    body = nullptr;  // releases what it holds before anybody is told
    std::lock_guard lock(mutex);
    done = true;
    changed.notify_all();
  }

  void Fail(ExitCode with, const std::string& what) {
    code = with;
    message = what;
  }
};

class JobWork : public Ticket::Work {
 public:
  JobWork(std::shared_ptr<Job> job, std::function<void()> on_drop)
      : job_(std::move(job)), on_drop_(std::move(on_drop)) {}
  ~JobWork() override {
    std::unique_lock lock(job_->mutex);
    if (job_->done) return;
    lock.unlock();
    if (on_drop_) on_drop_();
    lock.lock();
    job_->changed.wait(lock, [this] { return job_->done; });
  }
  void Wait() override {
    std::unique_lock lock(job_->mutex);
    job_->changed.wait(lock, [this] { return job_->done; });
    if (job_->code != ExitCode::kFinished) throw Error(job_->code, job_->message);
  }

 private:
  std::shared_ptr<Job> job_;
  std::function<void()> on_drop_;
};

}  // namespace

struct LaunchQueue::State {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::shared_ptr<Job>> jobs;
  bool busy = false;  // a job runs, here or on the thread of a caller
  bool stop = false;
  std::thread thread;

  void Loop() {
    // Short sleeps while waiting for a peer should be short (the default slack is 50 us).
    prctl(PR_SET_TIMERSLACK, 1000);
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return !busy && (stop || !jobs.empty()); });
      if (jobs.empty()) return;
      const std::shared_ptr<Job> job = std::move(jobs.front());
      jobs.pop_front();
      busy = true;
      lock.unlock();
      job->Run();
      lock.lock();
      busy = false;
    }
  }

  bool TakeIdle() {
    std::lock_guard lock(mutex);
    if (busy || !jobs.empty()) return false;
    return busy = true;
  }

  void GiveBack() {
    std::lock_guard lock(mutex);
    busy = false;
    if (stop || !jobs.empty()) changed.notify_one();
  }

  void Push(std::shared_ptr<Job> job) {
    std::lock_guard lock(mutex);
    jobs.push_back(std::move(job));
    changed.notify_one();
  }
};

LaunchQueue::LaunchQueue() : state_(std::make_shared<State>()) {
  state_->thread = std::thread([state = state_] { state->Loop(); });
}

LaunchQueue::~LaunchQueue() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stop = true;
    state_->changed.notify_one();
  }
  if (state_->thread.joinable()) state_->thread.join();
}

std::shared_ptr<Ticket::Work> LaunchQueue::Submit(std::function<void()> job,
                                                  std::function<void()> on_drop) {
  auto entry = std::make_shared<Job>();
  entry->body = std::move(job);
  state_->Push(entry);
  return std::make_shared<JobWork>(std::move(entry), std::move(on_drop));
}

bool LaunchQueue::TryRun(const std::function<void()>& job) {
  if (!state_->TakeIdle()) return false;
  const std::unique_ptr<State, void (*)(State*)> taken(state_.get(),
                                                       [](State* s) { s->GiveBack(); });
  job();
  return true;
}

void LaunchQueue::Call(std::function<void()> job) { Submit(std::move(job), nullptr)->Wait(); }

void LaunchQueue::Post(std::function<void()> job) {
  auto entry = std::make_shared<Job>();
  entry->body = std::move(job);
  state_->Push(std::move(entry));
}

bool LaunchQueue::CallFor(std::function<void()> job, std::chrono::milliseconds limit) {
  auto entry = std::make_shared<Job>();
  entry->body = std::move(job);
  state_->Push(entry);
  std::unique_lock lock(entry->mutex);
  return entry->changed.wait_for(lock, limit, [&] { return entry->done; });
}

void LaunchQueue::Abandon() {
  if (state_->thread.joinable()) state_->thread.detach();
}

}  // namespace vesalius::dist
