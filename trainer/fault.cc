#include "trainer/fault.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "base/error.h"
#include "base/file.h"

namespace vesalius::trainer {
namespace {

const std::vector<std::string> kKinds = {"kill",  "segv", "abort", "exit",
                                         "throw", "stop", "hang",  "slow"};
constexpr auto kSlower = std::chrono::milliseconds(50);

[[noreturn]] void SleepForEver() {
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

// The text as "KIND", STEP, RANK; false when it is none.
bool Parse(const std::string& text, std::string* kind, std::int64_t* step, int* rank,
           bool* always) {
  const std::size_t at = text.find('@');
  if (at == std::string::npos) return false;
  *kind = text.substr(0, at);
  const std::vector<std::string> parts = Split(text.substr(at + 1), ':');
  const auto number = [](const std::string& word) {
    return !word.empty() && std::ranges::all_of(word, [](char c) { return c >= '0' && c <= '9'; });
  };
  if (parts.size() < 2 || parts.size() > 3 || !number(parts[0]) || !number(parts[1])) return false;
  *step = std::atoll(parts[0].c_str());
  *rank = std::atoi(parts[1].c_str());
  *always = parts.size() == 3 && parts[2] == "always";
  return parts.size() == 2 || *always;
}

}  // namespace

Faults::Faults(const std::vector<std::string>& texts, std::string run, int rank)
    : run_(std::move(run)) {
  for (const std::string& text : texts) {
    Fault fault;
    fault.text = text;
    Require(Parse(text, &fault.kind, &fault.step, &fault.rank, &fault.always), ExitCode::kUsage,
            "--fault ", text, " is not KIND@STEP:RANK");
    Require(std::ranges::count(kKinds, fault.kind) > 0, ExitCode::kUsage, "--fault ", text,
            ": no kind '", fault.kind, "'; there are: ", Join(kKinds, ", "));
    if (fault.rank == rank) mine_.push_back(fault);
  }
}

bool Faults::FirstTime(const Fault& fault) const {
  if (fault.always) return true;
  MakeDirs(run_ + "/faults");
  const int fd = ::open(StrCat(run_, "/faults/", fault.text).c_str(), O_CREAT | O_EXCL, 0644);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

void Faults::At(std::int64_t step) {
  for (const Fault& fault : mine_) {
    if (fault.step != step || !FirstTime(fault)) continue;
    if (fault.kind == "kill") ::raise(SIGKILL);
    if (fault.kind == "segv") ::raise(SIGSEGV);
    if (fault.kind == "abort") std::abort();
    if (fault.kind == "exit") ::_exit(3);
    if (fault.kind == "throw")
      Fail(ExitCode::kInvalidData, "record that --fault ", fault.text, " calls damaged");
    if (fault.kind == "stop") ::raise(SIGSTOP);
    if (fault.kind == "hang") SleepForEver();
    if (fault.kind == "slow") slow_ = true;
  }
}

void Faults::InForward() const {
  if (slow_) std::this_thread::sleep_for(kSlower);
}

}  // namespace vesalius::trainer
