#include "launch/agent/rank_processes.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/hash.h"
#include "base/host.h"
#include "base/stack_dump.h"

namespace vesalius::launch {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kTermGrace = 2 * kSecond;
constexpr std::int64_t kStackPatience = kSecond / 4;
constexpr std::int64_t kLauncherEndsItself = kSecond / 2;
// mpirun gives ranks a second once one ended with a code, and crashes when it is signalled then.
constexpr std::int64_t kLauncherGivesASecond = 2 * kSecond;
constexpr std::int64_t kStepsForMedian = 100;

double Seconds(std::int64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-9; }

double MedianPhase(const page::Page& page, int phase, std::int64_t steps) {
  std::vector<float> times;
  for (std::int64_t s = std::max<std::int64_t>(0, steps - kStepsForMedian); s < steps; ++s)
    times.push_back(page.phases[s % page::kStepsKept][phase]);
  if (times.empty()) return 0;
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

void Fill(const page::Page& page, std::int64_t now, RankView* view) {
  view->opened = true;
  view->step = page.step;
  view->steps = page.steps;
  view->committed = page.committed;
  view->issued = page.issued;
  view->waiting = page.waiting;
  view->issued_name = page::CollectiveName(page, view->issued);
  view->waiting_name = page::CollectiveName(page, view->waiting);
  view->error = page.error.Get();
  for (int s = 0; s < page::kSections; ++s) {
    const std::int64_t entered = page.sections[s].entered_at;
    view->inside[s] = entered == 0 ? -1 : Seconds(now - entered);
    view->longest[s] = Seconds(page.sections[s].longest);
  }
  for (int p = 0; p < page::kPhases; ++p) view->phases[p] = MedianPhase(page, p, view->steps);
}

}  // namespace

std::string MemoryFolder(const std::string& run, const std::string& node) {
  std::error_code ignored;
  const std::string whole = std::filesystem::weakly_canonical(run, ignored);
  return StrCat("/dev/shm/vesalius-", ::getuid(), "-", Hex64(Hash64(whole)), "-", node);
}

std::string PageFolder(const std::string& memory, int attempt) {
  return StrCat(memory, "/pages-", attempt);
}

RankProcesses::RankProcesses(const std::string& run, const std::string& node, const Order& order)
    : run_(run), node_(node), order_(order), ranks_(order.ranks) {}

std::map<std::string, std::string> RankProcesses::Environment(const std::string& node) const {
  const std::string memory = MemoryFolder(run_, node);
  return {{"VESALIUS_MEMORY", memory},
          {"VESALIUS_PAGE", PageFolder(memory, order_.attempt)},
          {"VESALIUS_GENERATION", StrCat(order_.generation)}};
}

void RankProcesses::Start(const RankCommand& command) {
  started_at_ = page::Now();
  if (!order_.launches) return;
  if (command.starter == Starter::kPlain) StartPlain(command);
  if (command.starter == Starter::kMpirun) StartMpirun(command);
  if (command.starter == Starter::kSrun) StartSrun(command);
}

void RankProcesses::StartPlain(const RankCommand& command) {
  for (int r = 0; r < order_.ranks; ++r) {
    auto environment = Environment(node_);
    environment["VESALIUS_STORE"] = order_.store;
    environment["VESALIUS_RANK"] = StrCat(order_.first_rank + r);
    environment["VESALIUS_SIZE"] = StrCat(order_.world);
    ranks_[r].process = Process::Start(command.words, environment, SIGKILL);
  }
}

void RankProcesses::StartMpirun(const RankCommand& command) {
  std::vector<std::string> words = {"mpirun", "--oversubscribe", "--bind-to", "none"};
  for (const std::string& node : order_.nodes) {
    if (node != order_.nodes.front()) words.push_back(":");
    words.insert(words.end(), {"-n", StrCat(order_.ranks)});
    for (const auto& [name, value] : Environment(node))
      words.insert(words.end(), {"-x", StrCat(name, "=", value)});
    words.insert(words.end(), command.words.begin(), command.words.end());
  }
  launcher_ = Process::Start(words, {}, SIGTERM);
}

void RankProcesses::StartSrun(const RankCommand& command) {
  std::vector<std::string> words = {"srun",
                                    "--overlap",
                                    "--mpi=pmix",
                                    StrCat("--ntasks=", order_.world),
                                    StrCat("--nodes=", order_.nodes.size()),
                                    StrCat("--ntasks-per-node=", order_.ranks),
                                    "--nodelist=" + Join(order_.nodes, ","),
                                    "--kill-on-bad-exit=1",
                                    "--export=ALL"};
  if (const char* more = std::getenv("VESALIUS_SRUN_ARGS"); more != nullptr)
    for (const std::string& word : Split(more, ' '))
      if (!word.empty()) words.push_back(word);
  // The folder is the node's own, and only the node knows its name.
  const std::string prefix = MemoryFolder(run_, "");
  words.insert(words.end(), {"sh", "-c",
                             StrCat("export VESALIUS_MEMORY=\"", prefix, "$SLURMD_NODENAME\" ",
                                    "VESALIUS_GENERATION=", order_.generation,
                                    "; export VESALIUS_PAGE=\"$VESALIUS_MEMORY/pages-",
                                    order_.attempt, "\"; exec \"$0\" \"$@\"")});
  words.insert(words.end(), command.words.begin(), command.words.end());
  // What srun would take from the agent's own step does not fit the ranks': its one CPU least of
  // all.
  for (const char* name :
       {"SLURM_NTASKS", "SLURM_NPROCS", "SLURM_NTASKS_PER_NODE", "SLURM_STEP_NODELIST",
        "SLURM_DISTRIBUTION", "SLURM_MPI_TYPE", "SLURM_CPU_BIND", "SLURM_CPU_BIND_LIST",
        "SLURM_CPU_BIND_TYPE", "SLURM_CPU_BIND_VERBOSE", "SLURM_MEM_BIND", "SLURM_MEM_BIND_LIST",
        "SLURM_MEM_BIND_TYPE", "SLURM_MEM_BIND_VERBOSE", "SLURM_TRES_PER_TASK"})
    ::unsetenv(name);
  launcher_ = Process::Start(words, {}, SIGTERM);
}

void RankProcesses::Find() {
  const std::string folder = PageFolder(MemoryFolder(run_, node_), order_.attempt);
  for (int r = 0; r < order_.ranks; ++r) {
    Rank& rank = ranks_[r];
    if (rank.page == nullptr) rank.page = page::Read(folder, order_.first_rank + r);
    if (rank.page == nullptr || rank.process != nullptr || rank.ended_at > 0) continue;
    rank.process = Process::Watch(rank.page->pid);
    if (rank.process == nullptr) rank.ended_at = page::Now();
  }
}

RankView RankProcesses::View(int number, Rank& rank) {
  RankView view;
  view.rank = order_.first_rank + number;
  view.host = HostName();
  view.inside.fill(-1);
  const std::int64_t now = page::Now();
  std::optional<ProcessEnd> end;
  if (rank.process != nullptr) {
    view.pid = rank.process->pid();
    end = rank.process->End();
    if (!end) view.stopped = rank.process->IsStopped();
    if (end && rank.ended_at == 0) {
      rank.ended_at = now;
      rank.by_us = stopping_since_ > 0;
    }
  }
  if (rank.page != nullptr) {
    Fill(*rank.page, now, &view);
  } else if (started_at_ > 0) {  // it is on its way to the page, wherever it was started
    view.inside[static_cast<int>(page::Section::kInit)] = Seconds(now - started_at_);
  }
  view.stack = rank.stack;
  if (rank.ended_at == 0) return view;
  view.ended = true;
  view.by_us = rank.by_us;
  view.ended_for = Seconds(now - rank.ended_at);
  if (end && end->code >= 0) {
    view.signal = end->signal;
    view.code = end->code;
  } else {  // only the rank can have told; what kills without leaving it the time is KILL
    view.signal = rank.page->signal;
    view.code = rank.page->exit_code;
    if (view.signal == 0 && view.code < 0) view.signal = SIGKILL;
  }
  // What an error that ended it was thrown in; the section itself was left on the way out.
  if (rank.page != nullptr && view.signal == 0)
    if (const int section = rank.page->failed_in; section > 0) view.inside[section - 1] = 0;
  return view;
}

std::vector<RankView> RankProcesses::Sample() {
  Find();
  std::vector<RankView> views;
  for (int r = 0; r < order_.ranks; ++r) views.push_back(View(r, ranks_[r]));
  return views;
}

std::pair<int, std::string> RankProcesses::LauncherFailure() {
  if (launcher_ == nullptr) return {};
  const auto end = launcher_->End();
  if (!end || (end->signal == 0 && end->code == 0)) return {};
  return {end->signal > 0 ? 128 + end->signal : end->code,
          end->signal > 0 ? StrCat("the launcher was ended by signal ", end->signal)
                          : StrCat("the launcher ended with exit code ", end->code)};
}

void RankProcesses::AskToSave() {
  if (asked_) return;
  Find();
  for (Rank& rank : ranks_)
    if (rank.page == nullptr) return;  // it does not catch signals yet
  asked_ = true;
  for (Rank& rank : ranks_)
    if (rank.process != nullptr) rank.process->Signal(SIGUSR2);
}

bool RankProcesses::TakeStacks() {
  const std::int64_t now = page::Now();
  const bool first = stacks_since_ == 0;
  if (first) stacks_since_ = now;
  const std::string folder = PageFolder(MemoryFolder(run_, node_), order_.attempt);
  bool all = true;
  for (int r = 0; r < order_.ranks; ++r) {
    Rank& rank = ranks_[r];
    // Without a page it does not know the signal, which would end it.
    if (rank.page == nullptr || rank.process == nullptr || rank.ended_at > 0) continue;
    if (rank.process->IsStopped()) continue;
    if (first) rank.process->Signal(stack::Signal());
    if (rank.stack.empty()) rank.stack = stack::Read(folder, order_.first_rank + r);
    all = all && !rank.stack.empty();
  }
  return all || now - stacks_since_ > kStackPatience;
}

void RankProcesses::Stop(bool at_once) {
  Find();
  const std::int64_t now = page::Now();
  const bool first = stopping_since_ == 0;
  if (first) {
    Sample();  // whoever is gone by now was not ended by us
    stopping_since_ = now;
  }
  const std::int64_t spent = now - stopping_since_;
  for (Rank& rank : ranks_) {
    if (rank.process == nullptr) continue;
    if (at_once || spent > kTermGrace)
      rank.process->Signal(SIGKILL);
    else if (first)
      rank.process->Signal(SIGTERM);
  }
  if (launcher_ == nullptr) return;
  const bool with_code = std::ranges::any_of(
      ranks_, [](const Rank& rank) { return rank.page != nullptr && rank.page->exit_code >= 0; });
  const std::int64_t grace = with_code ? kLauncherGivesASecond : kLauncherEndsItself;
  if (spent > kTermGrace + grace) {
    launcher_->Signal(SIGKILL);
  } else if (spent > grace && !launcher_told_) {
    launcher_told_ = true;  // once: srun answers each
    launcher_->Signal(SIGTERM);
  }
}

bool RankProcesses::Gone() {
  for (const RankView& view : Sample())
    if (view.pid > 0 && !view.ended) return false;
  return launcher_ == nullptr || launcher_->End().has_value();
}

std::vector<int> RankProcesses::Descriptors() const {
  std::vector<int> all;
  for (const Rank& rank : ranks_)
    if (rank.process != nullptr && rank.ended_at == 0) all.push_back(rank.process->fd());
  if (launcher_ != nullptr) all.push_back(launcher_->fd());
  return all;
}

}  // namespace vesalius::launch
