#include "base/stack_dump.h"

#include <cxxabi.h>
#include <execinfo.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/file.h"

namespace vesalius::stack {
namespace {

constexpr int kMostCalls = 64;
constexpr int kOwnCalls = 2;  // the handler and what the kernel returns to
constexpr char kEnd[] = "end\n";

int g_answer = -1;

void OnAsked(int) {
  const int saved = errno;
  void* calls[kMostCalls];
  const int count = ::backtrace(calls, kMostCalls);
  if (count > kOwnCalls) ::backtrace_symbols_fd(calls + kOwnCalls, count - kOwnCalls, g_answer);
  [[maybe_unused]] const ssize_t written = ::write(g_answer, kEnd, sizeof(kEnd) - 1);
  errno = saved;
}

std::string PathOf(const std::string& folder, int rank) {
  return StrCat(folder, "/rank-", rank, ".stack");
}

// "/usr/lib/libx.so(_ZN1a1bEv+0x12) [0x7f00]" for people.
std::string Readable(const std::string& line) {
  const std::size_t open = line.find('('), close = line.find(')');
  if (open == std::string::npos || close == std::string::npos) return line;
  const std::size_t slash = line.rfind('/', open);
  const std::string library = line.substr(slash == std::string::npos ? 0 : slash + 1,
                                          open - (slash == std::string::npos ? 0 : slash + 1));
  const std::string call = line.substr(open + 1, close - open - 1);
  const std::size_t plus = call.rfind('+');
  if (plus == std::string::npos) return StrCat(library, ": ", call);
  int status = 0;
  char* name = abi::__cxa_demangle(call.substr(0, plus).c_str(), nullptr, nullptr, &status);
  std::string text =
      StrCat(library, ": ", name != nullptr ? name : call.substr(0, plus), call.substr(plus));
  std::free(name);
  return text;
}

}  // namespace

int Signal() { return SIGRTMIN + 9; }

void AnswerIn(const std::string& folder, int rank) {
  const std::string path = PathOf(folder, rank);
  g_answer = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  Require(g_answer >= 0, ExitCode::kCannotCreate, "cannot create ", path, ": ",
          std::strerror(errno));
  void* call;
  ::backtrace(&call, 1);  // loads what it needs, which a handler must not
  struct sigaction action {};
  action.sa_handler = OnAsked;
  action.sa_flags = SA_RESTART;
  sigaction(Signal(), &action, nullptr);
}

std::vector<std::string> Read(const std::string& folder, int rank) {
  const std::string path = PathOf(folder, rank);
  const std::string text = Exists(path) ? ReadFile(path) : "";
  std::vector<std::string> calls;
  if (!text.ends_with(kEnd)) return calls;
  for (const std::string& line : Split(text.substr(0, text.size() - sizeof(kEnd) + 1), '\n'))
    if (!line.empty()) calls.push_back(Readable(line));
  return calls;
}

}  // namespace vesalius::stack
