#include "checkpoints/attempt.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/host.h"

namespace vesalius::checkpoints {
namespace {

// An exclusive lock on a file, held until destruction or the end of the process.
class FileLock {
 public:
  explicit FileLock(const std::string& path) : path_(path) {
    CheckFileFault(FileOp::kOpen, path);
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    Require(fd_ >= 0, ExitCode::kCannotCreate, "cannot create ", path, ": ", std::strerror(errno));
  }
  ~FileLock() { ::close(fd_); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  // False when another process holds it and `wait` is off.
  bool Lock(bool wait) {
    while (::flock(fd_, LOCK_EX | (wait ? 0 : LOCK_NB)) != 0) {
      if (errno == EINTR) continue;
      if (errno == EWOULDBLOCK) return false;
      Fail(ExitCode::kCannotCreate, "cannot lock ", path_, ": ", std::strerror(errno),
           "; a run folder needs a file system with flock (mount option 'flock' on Lustre)");
    }
    return true;
  }

 private:
  std::string path_;
  int fd_ = -1;
};

struct Token {
  std::string run_id;
  int generation = 0, attempt = 0;
};

// Zero-padded, so that tokens of a run are ordered as texts too.
std::string ToString(const Token& token) {
  char numbers[40];
  std::snprintf(numbers, sizeof(numbers), "/%06d/%06d", token.generation, token.attempt);
  return token.run_id + numbers;
}

Token ReadToken(const std::string& path) {
  const std::string content = ReadFile(path);
  const std::vector<std::string> parts = Split(Trim(content), '/');
  Token token;
  if (parts.size() == 3)
    token = {parts[0], std::atoi(parts[1].c_str()), std::atoi(parts[2].c_str())};
  Require(ToString(token) + "\n" == content && token.attempt > 0 && !token.run_id.empty(),
          ExitCode::kInvalidData, path,
          " is damaged (it should hold run/generation/attempt); when "
          "no run is alive in this folder, delete it and start again");
  return token;
}

std::string NewRunId() {
  std::random_device entropy;
  return Hex64(static_cast<std::uint64_t>(entropy()) << 32 | entropy());
}

// The launch that this process belongs to, as its agent or batch script says; 0 without one.
int LaunchGeneration() {
  const char* text = std::getenv("VESALIUS_GENERATION");
  if (text == nullptr || *text == '\0') return 0;
  char* end = nullptr;
  const long number = std::strtol(text, &end, 10);
  Require(*end == '\0' && number > 0 && number < 1'000'000, ExitCode::kConfig,
          "VESALIUS_GENERATION=", text, " is not a number from 1 on");
  return static_cast<int>(number);
}

class OwnedAttempt : public Attempt {
 public:
  OwnedAttempt(const std::string& folder, std::unique_ptr<FileLock> owner, const Token& token)
      : path_(folder + "/ATTEMPT"),
        owner_(std::move(owner)),
        token_(ToString(token)),
        run_id_(token.run_id),
        number_(token.attempt) {}

  const std::string& token() const override { return token_; }
  int number() const override { return number_; }
  const std::string& run_id() const override { return run_id_; }

  void CheckFence() const override {
    Require(!IsMissing(path_), ExitCode::kFenced, path_,
            " is gone: the run folder was removed or "
            "replaced under the running attempt ",
            token_, "; nothing is published");
    const std::string now = ToString(ReadToken(path_));
    Require(now == token_, ExitCode::kFenced, path_, " names ", now, ", this is ", token_,
            ": another attempt has taken the run folder, this one publishes nothing and ends");
  }

 private:
  std::string path_;
  std::unique_ptr<FileLock> owner_;
  std::string token_, run_id_;
  int number_;
};

}  // namespace

std::unique_ptr<Attempt> Attempt::Acquire(const std::string& run_folder) {
  MakeDirs(run_folder);
  // Everything below happens under RUN/.lock, so that of two starting runs one wins and the other
  // reads who did.
  FileLock guard(run_folder + "/.lock");
  guard.Lock(/*wait=*/true);
  const std::string owner_path = run_folder + "/.owner";
  const std::string path = run_folder + "/ATTEMPT";
  Token token = IsMissing(path) ? Token{NewRunId(), 0, 0} : ReadToken(path);
  const int generation = LaunchGeneration();
  Require(generation == 0 || token.generation <= generation, ExitCode::kFenced, path,
          " names generation ", token.generation, ", this is ", generation,
          ": a newer launch has taken the run folder");
  // A launch takes the folder over from what came before it, which may be frozen and never let go:
  // it is fenced. Without a launch, a living owner stays.
  auto owner = std::make_unique<FileLock>(owner_path);
  Require(owner->Lock(/*wait=*/false) || generation > 0, ExitCode::kFenced, run_folder,
          " belongs to a living run (", Trim(ReadFile(owner_path)),
          "); wait for it, stop it, or choose another --run folder");
  OutputFile text(owner_path);
  text.Write(StrCat("pid ", ::getpid(), " on host ", HostName(), "\n"));
  text.Close();
  // Each start is one set of processes (an attempt), and without a launch a generation of its own.
  token.generation = generation > 0 ? generation : token.generation + 1;
  ++token.attempt;
  WriteFileAtomic(path, ToString(token) + "\n");
  return std::make_unique<OwnedAttempt>(run_folder, std::move(owner), token);
}

void MarkDone(const std::string& run_folder, const StepInfo& info) {
  const nlohmann::json done = {
      {"step", info.step}, {"samples", info.samples}, {"token", info.token}};
  WriteFileAtomic(run_folder + "/DONE", done.dump() + "\n");
}

void UnmarkDone(const std::string& run_folder) { RemoveTree(run_folder + "/DONE"); }

}  // namespace vesalius::checkpoints
