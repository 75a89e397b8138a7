// Runs shell lines and the program as people use it, to their end or in the background, and tells
// how they ended.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/file.h"

namespace vesalius {

struct Outcome {
  int status = -1;     // exit status, or 128 + signal
  std::string output;  // standard output and error together, in order
};

inline int ExitStatus(int waited) {
  return WIFEXITED(waited) ? WEXITSTATUS(waited) : 128 + WTERMSIG(waited);
}

// `vesalius` in the lines may be written "$VESALIUS_PROGRAM", which ctest sets.
inline Outcome Shell(const std::string& lines) {
  Outcome outcome;
  std::FILE* pipe = ::popen(("exec 2>&1\n" + lines).c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  std::size_t n;
  while ((n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0) outcome.output.append(buffer, n);
  outcome.status = ExitStatus(::pclose(pipe));
  return outcome;
}

// The program as a shell command, under mpirun when `ranks` > 0.
inline std::string ProgramLine(const std::string& arguments, int ranks = 0) {
  const std::string launcher =
      ranks > 0 ? "mpirun --oversubscribe --bind-to none -n " + std::to_string(ranks) + " " : "";
  return launcher + "\"$VESALIUS_PROGRAM\" " + arguments;
}

inline Outcome Program(const std::string& arguments) { return Shell(ProgramLine(arguments)); }

// Asks `condition` every few milliseconds until it holds; false after `seconds`.
template <typename Condition>
bool WaitUntil(const Condition& condition, double seconds = 60) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }
  return true;
}

// A shell command in the background, its output in `log`. `pid` is that of the command itself.
// Leaving the scope ends it.
class Background {
 public:
  Background(const std::string& line, std::string log) : log_(std::move(log)) {
    const std::string script = "exec " + line;
    pid_ = ::fork();
    if (pid_ != 0) return;
    const int out = ::open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    const int in = ::open("/dev/null", O_RDONLY);
    ::dup2(in, 0);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::execl("/bin/sh", "sh", "-c", script.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  ~Background() {
    if (!Running()) return;
    ::kill(pid_, SIGTERM);  // mpirun takes its ranks along
    if (!WaitUntil([&] { return !Running(); }, 10)) ::kill(pid_, SIGKILL);
    WaitUntil([&] { return !Running(); }, 10);
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  pid_t pid() const { return pid_; }
  bool Running() {
    int waited = 0;
    if (!ended_ && ::waitpid(pid_, &waited, WNOHANG) == pid_) {
      ended_ = true;
      status_ = ExitStatus(waited);
    }
    return !ended_;
  }
  // The end, with all output; status -1 when it does not come within `seconds`.
  Outcome Wait(double seconds = 60) {
    const bool ended = WaitUntil([&] { return !Running(); }, seconds);
    return {ended ? status_ : -1, ReadFile(log_)};
  }

 private:
  std::string log_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = -1;
};

// Processes whose parent is `pid`, in ascending order: under mpirun, its ranks.
inline std::vector<pid_t> ChildrenOf(pid_t pid) {
  std::vector<pid_t> children;
  for (const std::string& name : ListDir("/proc")) {
    const pid_t candidate = std::atoi(name.c_str());
    if (candidate <= 0) continue;
    std::FILE* stat = std::fopen(("/proc/" + name + "/stat").c_str(), "r");
    if (stat == nullptr) continue;
    int parent = 0;
    if (std::fscanf(stat, "%*d (%*[^)]) %*c %d", &parent) == 1 && parent == pid)
      children.push_back(candidate);
    std::fclose(stat);
  }
  return children;
}

}  // namespace vesalius
