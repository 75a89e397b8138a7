#include "launch/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>

#include "base/error.h"

namespace vesalius::launch {
namespace {

[[noreturn]] void FailOutput() {
  const int error = errno;
  Fail(ExitCode::kCannotCreate, "cannot write to standard output: ", std::strerror(error),
       "; what was printed is incomplete");
}

}  // namespace

void GuardStandardStreams() {
  // Read-only on purpose for 0 and 1: writing to a closed standard output must still fail (EBADF).
  for (int fd = 0; fd < 3; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF)
      (void)!::open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY);
}

void Print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) FailOutput();
}

void FlushOutput() {
  std::cout.flush();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) || !std::cout) FailOutput();
}

std::function<void(std::int64_t, std::int64_t)> ProgressLine(const std::string& what) {
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  return [what, terminal, shown = std::int64_t{-1}](std::int64_t done, std::int64_t total) mutable {
    const std::int64_t part = total > 0 ? done * (terminal ? 100 : 4) / total : 0;
    if (part == shown || (!terminal && part == 0)) return;
    shown = part;
    std::fprintf(stderr, "%s%s: %lld of %lld%s", terminal ? "\r" : "", what.c_str(),
                 static_cast<long long>(done), static_cast<long long>(total),
                 terminal && done < total ? "" : "\n");
  };
}

}  // namespace vesalius::launch
