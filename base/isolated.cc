#include "base/isolated.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/error.h"

namespace vesalius {
namespace {

void WriteAll(int fd, const std::string& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    done += static_cast<std::size_t>(n);
  }
}

[[noreturn]] void Child(int fd, const std::function<std::string()>& body) {
  const int null = ::open("/dev/null", O_WRONLY);
  if (null >= 0) ::dup2(null, STDERR_FILENO);
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM, SIGINT})
    ::signal(signal, SIG_DFL);
  std::string result;
  try {
    result = '0' + body();
  } catch (const Error& error) {
    result = StrCat('1', static_cast<char>(error.code()), error.what());
  } catch (const std::exception& error) {
    result = StrCat('1', static_cast<char>(ExitCode::kInvalidData), error.what());
  }
  WriteAll(fd, result);
  ::_exit(0);
}

// All that comes before the end or the deadline; true when the end came.
bool ReadAll(int fd, int seconds, std::string* bytes) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  char block[1 << 16];
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd ready{fd, POLLIN, 0};
    const int found = left.count() <= 0 ? 0 : ::poll(&ready, 1, static_cast<int>(left.count()));
    if (found < 0 && errno == EINTR) continue;
    if (found <= 0) return false;
    const ssize_t n = ::read(fd, block, sizeof(block));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n == 0;
    bytes->append(block, static_cast<std::size_t>(n));
  }
}

}  // namespace

std::string RunIsolated(const std::function<std::string()>& body, int seconds) {
  int ends[2];
  Require(::pipe2(ends, O_CLOEXEC) == 0, ExitCode::kCannotCreate,
          "no pipe: ", std::strerror(errno));
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    Child(ends[1], body);
  }
  ::close(ends[1]);
  std::string result;
  const bool ended = child > 0 && ReadAll(ends[0], seconds, &result);
  ::close(ends[0]);
  Require(child > 0, ExitCode::kCannotCreate, "no process: ", std::strerror(errno));
  if (!ended) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  Require(ended, ExitCode::kInvalidData, "reading took longer than ", seconds, " s");
  Require(WIFEXITED(status) && !result.empty(), ExitCode::kInvalidData,
          "the library that reads it gave up (signal ", WIFSIGNALED(status) ? WTERMSIG(status) : 0,
          ")");
  if (result[0] == '0') return result.substr(1);
  Fail(static_cast<ExitCode>(static_cast<unsigned char>(result[1])), result.substr(2));
}

}  // namespace vesalius
