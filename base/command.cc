#include "base/command.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/strings.h"

namespace vesalius {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  Pipe() {
    int ends[2];
    Require(::pipe2(ends, O_CLOEXEC) == 0, ExitCode::kBug, "pipe: ", std::strerror(errno));
    read_end = ends[0];
    write_end = ends[1];
  }
  ~Pipe() {
    ::close(read_end);
    CloseWriteEnd();
  }
  void CloseWriteEnd() {
    if (write_end >= 0) ::close(write_end);
    write_end = -1;
  }
  int read_end, write_end;
};

// Reads both pipes until they are closed; false when that did not happen before `end`.
bool Drain(const Pipe& out, const Pipe& err, CommandResult* result, Clock::time_point end) {
  std::array<pollfd, 2> ends{{{out.read_end, POLLIN, 0}, {err.read_end, POLLIN, 0}}};
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) return false;
    if (::poll(ends.data(), ends.size(), static_cast<int>(left.count())) <= 0) continue;
    for (std::size_t i = 0; i < ends.size(); ++i) {
      if (ends[i].fd < 0 || ends[i].revents == 0) continue;
      char buffer[4096];
      const ssize_t n = ::read(ends[i].fd, buffer, sizeof(buffer));
      if (n > 0) (i == 0 ? result->output : result->errors).append(buffer, n);
      if (n == 0 || (n < 0 && errno != EINTR)) ends[i].fd = -1;
    }
  }
  return true;
}

pid_t Spawn(const std::vector<std::string>& words, const Pipe& out, const Pipe& err, int* error) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out.write_end, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.write_end, STDERR_FILENO);
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_t pid = -1;
  *error = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

}  // namespace

CommandResult RunCommand(const std::vector<std::string>& words, std::chrono::seconds limit) {
  CommandResult result;
  Pipe out, err;
  int error = 0;
  const auto end = Clock::now() + limit;
  const pid_t pid = Spawn(words, out, err, &error);
  if (error == ENOENT) return {127, "", words[0] + ": not found"};
  Require(error == 0, ExitCode::kBug, "cannot start ", words[0], ": ", std::strerror(error));
  out.CloseWriteEnd();
  err.CloseWriteEnd();
  const bool closed = Drain(out, err, &result, end);
  if (!closed) ::kill(pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  result.status = !closed ? 124 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

bool HaveProgram(const std::string& name) {
  const char* path = std::getenv("PATH");
  for (const std::string& folder : Split(path == nullptr ? "" : path, ':'))
    if (::access(StrCat(folder, "/", name).c_str(), X_OK) == 0) return true;
  return false;
}

std::string ShellQuote(const std::string& word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || std::strchr("_-+=./:,@%", c) != nullptr;
  });
  return plain ? word : "'" + Replace(word, "'", "'\\''") + "'";
}

}  // namespace vesalius
