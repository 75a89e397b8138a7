#include "base/rank_page.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>

#include "base/error.h"
#include "base/stack_dump.h"

namespace vesalius::page {
namespace {

constexpr std::memory_order kRelaxed = std::memory_order_relaxed;

Page g_private;  // all zero
std::atomic<Page*> g_page = &g_private;
thread_local int t_section = -1;

Page& Here() { return *g_page.load(kRelaxed); }

std::string PathOf(const std::string& folder, int rank) { return StrCat(folder, "/rank-", rank); }

// Notes the signal, then lets it do what it does without us.
void OnFatal(int signal) {
  Here().signal = signal;
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

void WatchTheEnd() {
  struct sigaction action {};
  action.sa_handler = OnFatal;
  action.sa_flags = SA_RESETHAND | SA_NODEFER;
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGXCPU})
    sigaction(signal, &action, nullptr);
  ::on_exit([](int code, void*) { SetExitCode(code); }, nullptr);
}

}  // namespace

const char* Name(Section section) {
  static constexpr const char* kNames[] = {"init",  "load",  "warm-up", "step", "eval",
                                           "stage", "write", "commit",  "exit"};
  return kNames[static_cast<int>(section)];
}

const char* Name(Phase phase) {
  static constexpr const char* kNames[] = {"data", "forward", "backward"};
  return kNames[static_cast<int>(phase)];
}

template <int N>
void Text<N>::Set(std::string_view text) {
  text = text.substr(0, std::size_t{8} * N);
  for (int w = 0; w < N; ++w) {
    char bytes[8] = {};
    const std::string_view part = text.substr(std::min(text.size(), std::size_t{8} * w), 8);
    std::memcpy(bytes, part.data(), part.size());
    std::uint64_t word;
    std::memcpy(&word, bytes, 8);
    words[w].store(word, kRelaxed);
  }
}

template <int N>
std::string Text<N>::Get() const {
  char bytes[8 * N + 1] = {};
  for (int w = 0; w < N; ++w) {
    const std::uint64_t word = words[w].load(kRelaxed);
    std::memcpy(bytes + 8 * w, &word, 8);
  }
  return bytes;
}

template struct Text<6>;
template struct Text<64>;

std::int64_t Now() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void Open(const std::string& folder, int rank) {
  const std::string path = PathOf(folder, rank);
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  void* memory = MAP_FAILED;
  if (fd >= 0 && ::ftruncate(fd, sizeof(Page)) == 0)
    memory = ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const int error = errno;
  if (fd >= 0) ::close(fd);
  Require(memory != MAP_FAILED, ExitCode::kCannotCreate, "cannot map the page ", path,
          " that the agent reads: ", std::strerror(error));
  // All figures but the first sections' are zero, in the file as on the private page.
  auto* page = static_cast<Page*>(memory);
  for (int s = 0; s < kSections; ++s)
    page->sections[s].entered_at.store(g_private.sections[s].entered_at.load());
  page->pid = ::getpid();
  page->rank = rank;
  page->step = -1;
  page->committed = -1;
  page->exit_code = -1;
  g_page = page;
  WatchTheEnd();
  stack::AnswerIn(folder, rank);
  page->ready.store(kReady, std::memory_order_release);
}

In::In(Section section)
    : section_(section),
      outer_(t_section),
      errors_(std::uncaught_exceptions()),
      outer_spent_(outer_ < 0 ? 0
                              : Now() - Here().sections[outer_].entered_at.exchange(0, kRelaxed)) {
  t_section = static_cast<int>(section);
  Here().failed_in.store(0, kRelaxed);
  Here().sections[t_section].entered_at.store(Now(), kRelaxed);
}

In::~In() {
  SectionState& state = Here().sections[static_cast<int>(section_)];
  const std::int64_t now = Now(), spent = now - state.entered_at.exchange(0, kRelaxed);
  if (spent > state.longest.load(kRelaxed)) state.longest.store(spent, kRelaxed);
  state.times.fetch_add(1, kRelaxed);
  std::atomic<std::int32_t>& failed_in = Here().failed_in;
  if (std::uncaught_exceptions() == errors_)
    failed_in.store(0, kRelaxed);
  else if (failed_in.load(kRelaxed) == 0)
    failed_in.store(1 + static_cast<int>(section_), kRelaxed);
  t_section = outer_;
  if (outer_ >= 0) Here().sections[outer_].entered_at.store(now - outer_spent_, kRelaxed);
}

void SetStep(std::int64_t done, const PhaseTimes& phases) {
  Page& page = Here();
  const std::int64_t mine = page.steps.load(kRelaxed);
  for (int p = 0; p < kPhases; ++p) page.phases[mine % kStepsKept][p].store(phases[p], kRelaxed);
  page.step.store(done, kRelaxed);
  page.steps.store(mine + 1, std::memory_order_release);
}

void SetCommitted(std::int64_t step) { Here().committed.store(step, kRelaxed); }
void SetError(std::string_view text) { Here().error.Set(text); }
void SetExitCode(int code) { Here().exit_code.store(code, kRelaxed); }

std::uint64_t Collective(std::string_view name) {
  Page& page = Here();
  const std::uint64_t number = page.issued.load(kRelaxed) + 1;
  CollectiveSlot& slot = page.collectives[number % kCollectivesKept];
  slot.number.store(0, kRelaxed);
  slot.name.Set(name);
  slot.number.store(number, std::memory_order_release);
  page.issued.store(number, std::memory_order_release);
  return number;
}

Waiting::Waiting(std::uint64_t collective)
    : before_(Here().waiting.exchange(collective, kRelaxed)) {}
Waiting::~Waiting() { Here().waiting.store(before_, kRelaxed); }

const Page& Mine() { return Here(); }

std::shared_ptr<const Page> Read(const std::string& folder, int rank) {
  const int fd = ::open(PathOf(folder, rank).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return nullptr;
  struct stat info {};
  void* memory = MAP_FAILED;
  if (::fstat(fd, &info) == 0 && info.st_size >= static_cast<off_t>(sizeof(Page)))
    memory = ::mmap(nullptr, sizeof(Page), PROT_READ, MAP_SHARED, fd, 0);
  ::close(fd);
  if (memory == MAP_FAILED) return nullptr;
  std::shared_ptr<const Page> page(static_cast<const Page*>(memory), [](const Page* mapped) {
    ::munmap(const_cast<Page*>(mapped), sizeof(Page));
  });
  return page->ready.load(std::memory_order_acquire) == kReady ? page : nullptr;
}

std::string CollectiveName(const Page& page, std::uint64_t number) {
  const CollectiveSlot& slot = page.collectives[number % kCollectivesKept];
  const std::string name = slot.name.Get();
  return number > 0 && slot.number.load(std::memory_order_acquire) == number ? name : "";
}

}  // namespace vesalius::page
