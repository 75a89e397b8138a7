#include "data/import/workers.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <new>
#include <vector>

#include "base/error.h"

namespace vesalius::data {
namespace {

constexpr useconds_t kPollMicroseconds = 20000;

// What parent and workers share.
struct Shared {
  std::atomic<std::int64_t> next{0}, ticks{0};
  std::atomic<bool> stop{false};
  std::atomic<int> failed{
      0};  // 1 once a worker has claimed the fields below, 2 when they are filled
  ExitCode code = ExitCode::kFinished;
  char message[4096] = {};
};

class SharedMemory {
 public:
  SharedMemory() {
    void* memory =
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    Require(memory != MAP_FAILED, ExitCode::kCannotCreate,
            "no memory to share with the workers: ", std::strerror(errno));
    shared_ = new (memory) Shared;
  }
  ~SharedMemory() { ::munmap(shared_, sizeof(Shared)); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  Shared* operator->() const { return shared_; }

 private:
  Shared* shared_;
};

struct Stopped {};  // thrown through a job when another worker failed

void Tell(const SharedMemory& shared, ExitCode code, const char* message) {
  int untold = 0;
  if (shared->failed.compare_exchange_strong(untold, 1)) {
    shared->code = code;
    std::strncpy(shared->message, message, sizeof(shared->message) - 1);
    shared->failed = 2;
  }
  shared->stop = true;
}

[[noreturn]] void Work(const SharedMemory& shared, const Jobs& jobs, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it died before the line above
  const Tick tick = [&] {
    ++shared->ticks;
    if (shared->stop) throw Stopped();
  };
  try {
    for (std::int64_t job; !shared->stop && (job = shared->next++) < jobs.count;)
      jobs.run(job, tick);
  } catch (const Stopped&) {
  } catch (const Error& error) {
    Tell(shared, error.code(), error.what());
  } catch (const std::exception& error) {
    Tell(shared, ExitCode::kBug, error.what());
  }
  ::_exit(0);
}

// One worker's end; true when it was a good one.
void Judge(const SharedMemory& shared, pid_t pid, int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  const std::string how = WIFSIGNALED(status) ? StrCat("signal ", WTERMSIG(status), " (",
                                                       ::strsignal(WTERMSIG(status)), ")")
                                              : StrCat("status ", WEXITSTATUS(status));
  Tell(shared, ExitCode::kPeerLost,
       StrCat("worker process ", pid, " was ended by ", how,
              "; what is finished stays: the same command goes on from there")
           .c_str());
}

// The workers as long as they live; whatever happens to the parent's loop, none is left behind.
class Crew {
 public:
  ~Crew() {
    for (const pid_t pid : pids_) ::kill(pid, SIGKILL);
    for (const pid_t pid : pids_) ::waitpid(pid, nullptr, 0);
  }
  void Add(pid_t pid) { pids_.push_back(pid); }
  bool empty() const { return pids_.empty(); }
  void Reap(const SharedMemory& shared) {
    std::erase_if(pids_, [&](pid_t pid) {
      int status = 0;
      if (::waitpid(pid, &status, WNOHANG) != pid) return false;
      Judge(shared, pid, status);
      return true;
    });
  }

 private:
  std::vector<pid_t> pids_;
};

void RunForked(int workers, const Jobs& jobs) {
  const SharedMemory shared;
  const pid_t parent = ::getpid();
  Crew crew;
  for (int worker = 0; worker < workers; ++worker) {
    const pid_t pid = ::fork();
    Require(pid >= 0, ExitCode::kCannotCreate,
            "a worker process cannot be started: ", std::strerror(errno),
            "; ask for fewer with --workers");
    if (pid == 0) Work(shared, jobs, parent);
    crew.Add(pid);
  }
  while (!crew.empty()) {
    crew.Reap(shared);
    if (jobs.progress) jobs.progress(shared->ticks);
    if (!crew.empty()) ::usleep(kPollMicroseconds);
  }
  if (shared->failed == 2) throw Error(shared->code, shared->message);
}

}  // namespace

void RunJobs(int workers, const Jobs& jobs) {
  workers = static_cast<int>(std::min<std::int64_t>(workers, jobs.count));
  if (workers > 1) return RunForked(workers, jobs);
  std::int64_t ticks = 0;
  const Tick tick = [&] {
    ++ticks;
    if (jobs.progress) jobs.progress(ticks);
  };
  for (std::int64_t job = 0; job < jobs.count; ++job) jobs.run(job, tick);
}

}  // namespace vesalius::data
