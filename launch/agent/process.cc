#include "launch/agent/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/agent_watch.h"
#include "base/error.h"

extern char** environ;

namespace vesalius::launch {
namespace {

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> Environment(const std::map<std::string, std::string>& added) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (added.count(text.substr(0, text.find('='))) == 0) all.push_back(text);
  }
  for (const auto& [name, value] : added) all.push_back(StrCat(name, "=", value));
  return all;
}

int Descriptor(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

}  // namespace

std::unique_ptr<Process> Process::Start(const std::vector<std::string>& words,
                                        const std::map<std::string, std::string>& environment,
                                        int death_signal) {
  // Made here: between fork and exec of a process with threads nothing may allocate.
  std::vector<std::string> arguments = words, variables = Environment(environment);
  const std::vector<char*> argv = Pointers(arguments), envp = Pointers(variables);
  const pid_t parent = ::getpid(), pid = ::fork();
  Require(pid >= 0, ExitCode::kBug, "no process can be started: ", std::strerror(errno));
  if (pid == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, death_signal);
    if (::getppid() != parent) ::_exit(127);
    for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGPIPE, SIGHUP})
      ::signal(signal, SIG_DFL);
    ::execvpe(argv[0], argv.data(), envp.data());
    ::dprintf(2, "vesalius: %s cannot be started: %s\n", argv[0], std::strerror(errno));
    ::_exit(127);
  }
  return std::unique_ptr<Process>(new Process(pid, Descriptor(pid), /*child=*/true));
}

std::unique_ptr<Process> Process::Watch(pid_t pid) {
  const int fd = Descriptor(pid);
  return fd < 0 ? nullptr : std::unique_ptr<Process>(new Process(pid, fd, /*child=*/false));
}

Process::~Process() {
  if (fd_ >= 0) ::close(fd_);
}

std::optional<ProcessEnd> Process::End() {
  if (end_) return end_;
  if (child_) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
    end_ =
        WIFSIGNALED(status) ? ProcessEnd{WTERMSIG(status), 0} : ProcessEnd{0, WEXITSTATUS(status)};
  } else {
    pollfd request{fd_, POLLIN, 0};
    if (::poll(&request, 1, 0) == 1) end_ = ProcessEnd{0, -1};
  }
  return end_;
}

void Process::Signal(int signal) {
  if (!End()) ::syscall(SYS_pidfd_send_signal, fd_, signal, nullptr, 0);
}

bool Process::IsStopped() const {
  const std::string stat = ProcessStat(pid_);
  return !stat.empty() && (stat[0] == 'T' || stat[0] == 't');
}

}  // namespace vesalius::launch
