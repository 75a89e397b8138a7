// Processes that an agent starts or watches, by file descriptor, so that a reused process id is
// never taken for one of ours.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vesalius::launch {

// How a process ended: by a signal, or with a code; code -1: not a child of ours, and it left no
// word.
struct ProcessEnd {
  int signal = 0, code = 0;
};

class Process {
 public:
  // A child in a process group of its own that gets `death_signal` when this thread's process ends.
  // `environment` is added to ours. A program that cannot be run: exit code 127. Error(kBug) when
  // there can be no process at all.
  static std::unique_ptr<Process> Start(const std::vector<std::string>& words,
                                        const std::map<std::string, std::string>& environment,
                                        int death_signal);
  // A process that somebody else started; null when there is none.
  static std::unique_ptr<Process> Watch(pid_t pid);
  ~Process();  // leaves it alone
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  int fd() const { return fd_; }  // readable once it has ended
  std::optional<ProcessEnd> End();
  void Signal(int signal);
  bool IsStopped() const;

 private:
  Process(pid_t pid, int fd, bool child) : pid_(pid), fd_(fd), child_(child) {}
  const pid_t pid_;
  const int fd_;
  const bool child_;
  std::optional<ProcessEnd> end_;
};

}  // namespace vesalius::launch
