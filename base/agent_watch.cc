#include "base/agent_watch.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/rank_page.h"

namespace vesalius {
namespace {

constexpr int kStartField = 19;  // of ProcessStat

[[noreturn]] void Leave() {
  const int code = static_cast<int>(ExitCode::kPeerLost);
  page::SetExitCode(code);
  ::_exit(code);
}

}  // namespace

std::string ProcessStat(pid_t pid) {
  std::ifstream in(StrCat("/proc/", pid, "/stat"));
  std::string text;
  std::getline(in, text, '\0');  // no error when the process ends between opening and reading
  const std::size_t name_end = text.rfind(") ");
  return name_end == std::string::npos ? "" : text.substr(name_end + 2);
}

std::string ProcessStartTicks(pid_t pid) {
  const std::vector<std::string> fields = Split(ProcessStat(pid), ' ');
  return fields.size() > kStartField ? fields[kStartField] : "";
}

void NameAgent(const std::string& folder) {
  WriteFileAtomic(folder + "/agent", StrCat(::getpid(), " ", ProcessStartTicks(::getpid()), "\n"));
}

std::string NamedAgent(const std::string& folder) {
  std::ifstream in(folder + "/agent");  // may go at any moment, with the agent
  pid_t pid = 0;
  return in >> pid ? StrCat("process ", pid) : "a process";
}

void LeaveWithAgent(const std::string& folder) {
  if (!Exists(folder + "/agent")) return;
  const std::vector<std::string> words = Split(Trim(ReadFile(folder + "/agent")), ' ');
  Require(words.size() == 2, ExitCode::kInvalidData, folder, "/agent is damaged");
  const pid_t agent = std::atoi(words[0].c_str());
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, agent, 0));
  if (fd < 0 || ProcessStartTicks(agent) != words[1]) Leave();
  std::thread([fd] {
    pollfd request{fd, POLLIN, 0};
    while (::poll(&request, 1, -1) < 0 && errno == EINTR) {
    }
    Leave();
  }).detach();
}

}  // namespace vesalius
