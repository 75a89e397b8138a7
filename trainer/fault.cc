#include "trainer/fault.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <limits>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "checkpoints/commit.h"

namespace vesalius::trainer {
namespace {

const std::vector<std::string> kKinds = {"kill", "segv", "abort", "exit",  "throw", "stop",
                                         "hang", "slow", "nan",   "spike", "flip"};
const std::string kInSave = "kill-";
const std::vector<std::string> kSavePoints = {"stage",    "staged", "write",    "written",
                                              "manifest", "rename", "committed"};
constexpr double kSpike = 1000;
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
    const bool in_save = fault.kind.starts_with(kInSave) &&
                         std::ranges::count(kSavePoints, fault.kind.substr(kInSave.size())) > 0;
    Require(in_save || std::ranges::count(kKinds, fault.kind) > 0, ExitCode::kUsage, "--fault ",
            text, ": no kind '", fault.kind, "'; there are: ", Join(kKinds, ", "),
            ", and kill-POINT with POINT one of ", Join(kSavePoints, ", "));
    if (fault.rank != rank) continue;
    mine_.push_back(fault);
    in_saves_ = in_saves_ || in_save;
  }
  if (in_saves_)
    checkpoints::SetSavePoint([this](const char* point, std::int64_t step, int of_rank) {
      AtSavePoint(point, step, of_rank);
    });
}

Faults::~Faults() {
  if (in_saves_) checkpoints::SetSavePoint(nullptr);
}

void Faults::AtSavePoint(const std::string& point, std::int64_t step, int rank) const {
  for (const Fault& fault : mine_)
    if (fault.kind == kInSave + point && fault.step == step && fault.rank == rank &&
        FirstTime(fault))
      ::raise(SIGKILL);
}

bool Faults::FirstTime(const Fault& fault) const {
  if (fault.always) return true;
  MakeDirs(run_ + "/faults");
  const int fd = ::open(StrCat(run_, "/faults/", fault.text).c_str(), O_CREAT | O_EXCL, 0644);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

void Faults::At(std::int64_t step) {
  gradient_factor_ = 1;
  flips_ = false;
  for (const Fault& fault : mine_) {
    const bool now = fault.kind == "slow" ? step >= fault.step && !slow_ : step == fault.step;
    if (!now || fault.kind.starts_with(kInSave) || !FirstTime(fault)) continue;
    if (fault.kind == "kill") ::raise(SIGKILL);
    if (fault.kind == "segv") ::raise(SIGSEGV);
    if (fault.kind == "abort") std::abort();
    if (fault.kind == "exit") ::_exit(3);
    if (fault.kind == "throw")
      Fail(ExitCode::kInvalidData, "record that --fault ", fault.text, " calls damaged");
    if (fault.kind == "stop") ::raise(SIGSTOP);
    if (fault.kind == "hang") SleepForEver();
    if (fault.kind == "slow") slow_ = true;
    if (fault.kind == "nan") gradient_factor_ = std::numeric_limits<double>::quiet_NaN();
    if (fault.kind == "spike") gradient_factor_ = kSpike;
    if (fault.kind == "flip") flips_ = true;
  }
}

void Faults::InForward() const {
  if (slow_) std::this_thread::sleep_for(kSlower);
}

}  // namespace vesalius::trainer
