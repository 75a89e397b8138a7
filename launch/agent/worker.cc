#include "launch/agent/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "base/agent_watch.h"
#include "base/error.h"
#include "base/file.h"
#include "base/host.h"
#include "launch/agent/health.h"

namespace vesalius::launch {

namespace {

constexpr std::chrono::milliseconds kUsualCheck{50};
constexpr std::int64_t kLongestCheck = 60'000'000'000;  // nanoseconds

// Makes the folder and locks it until this process ends, however it does. Only this user's: its
// name can be guessed, and everybody may write to /dev/shm.
int TakeFolder(const std::string& path, const std::string& run) {
  for (;;) {
    struct stat locked {
    }, there{};
    const bool made = ::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST;
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (made && fd < 0 && errno == ENOENT) continue;  // as below
    Require(made && fd >= 0 && ::fstat(fd, &locked) == 0 && locked.st_uid == ::getuid() &&
                (locked.st_mode & 0077) == 0,
            ExitCode::kCannotCreate, path,
            " cannot be made, or is not a folder of this user alone");
    Require(::flock(fd, LOCK_EX | LOCK_NB) == 0, ExitCode::kFenced, "an agent (", NamedAgent(path),
            " on this node) still watches the run ", run,
            "; wait for its end, or ask for it with SIGTERM");
    // An agent that left meanwhile has removed what it had locked.
    if (::lstat(path.c_str(), &there) == 0 && there.st_ino == locked.st_ino) return fd;
    ::close(fd);
  }
}

}  // namespace

Worker::Worker(WorkerOptions options)
    : options_(std::move(options)),
      memory_(MemoryFolder(options_.run, options_.node)),
      lock_(TakeFolder(memory_, options_.run)) {
  for (const std::string& name : ListDir(memory_))
    if (name.starts_with("pages-") || name.starts_with("store-")) RemoveTree(memory_ + "/" + name);
  NameAgent(memory_);
  report_.number = options_.number;
  report_.node = options_.node;
  report_.host = HostName();
}

Worker::~Worker() {
  partners_.reset();
  RemoveTree(memory_);
  ::close(lock_);
}

void Worker::Join(const std::string& address, const std::string& token) {
  report_.address = address;
  partners_ = std::make_unique<Partners>(memory_, address, token);
}

void Worker::Prepare(const Order& order) {
  if (ranks_ != nullptr) RemoveTree(PageFolder(memory_, report_.attempt));
  ranks_ = std::make_unique<RankProcesses>(options_.run, options_.node, order);
  MakeDirs(PageFolder(memory_, order.attempt));
  report_.attempt = order.attempt;
  report_.done = Duty::kIdle;
  report_.launcher.clear();
  report_.ranks.clear();
  report_.unhealthy.clear();
  // On a thread that may never end, since others wait only seconds for a word of this agent.
  std::packaged_task<std::string()> check(
      [run = options_.run, gpus = options_.command.gpus] { return NodeTrouble(run, gpus); });
  health_ = check.get_future();
  checking_since_ = page::Now();
  std::thread(std::move(check)).detach();
  if (partners_ != nullptr) partners_->Follow(order);
}

bool Worker::Checked() {
  if (!health_.valid()) return true;
  if (health_.wait_for(kUsualCheck) == std::future_status::ready)
    report_.unhealthy = health_.get();
  else if (page::Now() - checking_since_ > kLongestCheck)
    report_.unhealthy = StrCat("its GPUs or ", options_.run, " have not answered for a minute");
  return !health_.valid();
}

Report Worker::Tick(const Order& order) {
  report_.save = save_;
  switch (order.duty) {
    case Duty::kIdle:
      break;
    case Duty::kPrepare:
      if (report_.attempt != order.attempt) Prepare(order);
      if (Checked() && (partners_ == nullptr || partners_->Complete()))
        report_.done = Duty::kPrepare;
      break;
    case Duty::kRun:
      if (report_.attempt != order.attempt) break;  // it was not prepared here
      if (report_.done == Duty::kPrepare) {
        ranks_->Start(options_.command);
        report_.done = Duty::kRun;
      }
      if (order.save) ranks_->AskToSave();
      break;
    case Duty::kStop:
      if (report_.attempt != order.attempt) {  // nothing was ever started
        report_.attempt = order.attempt;
        report_.done = Duty::kStop;
        break;
      }
      if (report_.done == Duty::kStop) break;
      if (order.stacks && !ranks_->TakeStacks()) break;
      report_.ranks = ranks_->Sample();
      ranks_->Stop(order.at_once);
      if (ranks_->Gone()) report_.done = Duty::kStop;
      break;
    case Duty::kLeave:
      if (ranks_ != nullptr) ranks_->Stop(/*at_once=*/true);
      if (ranks_ == nullptr || ranks_->Gone()) report_.done = Duty::kLeave;
      break;
  }
  if (ranks_ != nullptr && report_.done == Duty::kRun) {
    report_.ranks = ranks_->Sample();
    std::tie(report_.launcher_code, report_.launcher) = ranks_->LauncherFailure();
  }
  return report_;
}

void Worker::Wait(double seconds) const {
  std::vector<pollfd> ends;
  if (ranks_ != nullptr)
    for (const int fd : ranks_->Descriptors()) ends.push_back({fd, POLLIN, 0});
  ::poll(ends.data(), ends.size(), static_cast<int>(seconds * 1e3));
}

}  // namespace vesalius::launch
