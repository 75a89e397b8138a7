// F7 to F9, F11, F12 and F33: saves beside a training loop on disks that are full, broken, slow or
// used by somebody else. Ranks are threads; a step of the loop adds the writers' flags over the
// ranks as training does. What is expected: all ranks give the save up together, the loop goes on,
// the last good checkpoint stays and the next save works. Each protection is also taken away once:
// its scenario must then find something wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>

#include "base/file.h"
#include "checkpoints/attempt.h"
#include "checkpoints/commit.h"
#include "tests/checkpoints/fixture.h"
#include "tests/util/temp_dir.h"

namespace vesalius::checkpoints {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// A rank's loop around a writer.
class Loop {
 public:
  Loop(const std::string& run, int rank, int ranks, const Attempt* attempt,
       const Exchange& exchange, double deadline = 20, double wait = 5)
      : rank_(rank),
        ranks_(ranks),
        exchange_(exchange),
        writer_({.run_folder = run,
                 .rank = rank,
                 .ranks = ranks,
                 .keep = {.newest = 2},
                 .deadline = deadline,
                 .wait = wait},
                rank == 0 ? attempt : nullptr, exchange) {}

  // A training step of 2 ms with the writers' flags in its all-reduce.
  void Step() {
    const auto begun = Clock::now();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    const auto flags = writer_.Flags();
    const std::string mine(reinterpret_cast<const char*>(flags.data()), sizeof(flags));
    std::array<double, Writer::kFlags> sums{};
    for (const std::string& bytes : exchange_("step", mine)) {
      std::array<double, Writer::kFlags> one;
      std::memcpy(one.data(), bytes.data(), sizeof(one));
      for (std::size_t f = 0; f < sums.size(); ++f) sums[f] += one[f];
    }
    writer_.Agree(sums);
    slowest_ = std::max(slowest_, Seconds(Clock::now() - begun));
    ++steps_;
  }
  bool Start(std::int64_t step) {
    return writer_.Start(MakeInfo(step), MakeState(step, rank_, ranks_).views);
  }
  // Steps until the save under way has an outcome, at most `most`.
  void Run(int most = 5000) {
    const std::int64_t committed = writer_.committed_step(), abandoned = writer_.abandoned();
    for (int i = 0; i < most; ++i) {
      Step();
      if (writer_.committed_step() != committed || writer_.abandoned() != abandoned) break;
    }
    for (int i = 0; i < 30; ++i) Step();
  }
  Writer& writer() { return writer_; }
  double slowest() const { return slowest_; }
  int steps() const { return steps_; }

 private:
  int rank_, ranks_;
  Exchange exchange_;
  Writer writer_;
  double slowest_ = 0;
  int steps_ = 0;
};

bool IsShardOf(const std::string& path, int rank) {
  return path.ends_with("rank-000" + std::to_string(rank) + ".shard");
}

// Step 1 is good; the save of step 2 meets `fault`; then the disk is mended and step 3 is saved.
// What went otherwise than all ranks giving up step 2 together.
std::vector<std::string> GiveUpTogether(const FileFault& fault, double deadline = 20) {
  constexpr int kRanks = 3;
  const TempDir dir;
  const auto attempt = Attempt::Acquire(dir.path());
  std::mutex mutex;
  std::vector<std::string> wrong;
  const auto expect = [&](bool good, const std::string& what) {
    const std::lock_guard lock(mutex);
    if (!good) wrong.push_back(what);
  };
  const auto thrown = OnRanks(kRanks, [&](int rank, const Exchange& exchange) {
    Loop loop(dir.path(), rank, kRanks, attempt.get(), exchange, deadline);
    const auto meet = [&] { exchange("meet", ""); };
    loop.Start(1);
    loop.Run();
    meet();
    if (rank == 0) SetFileFault(fault);
    meet();
    loop.Start(2);
    loop.Run(600);
    expect(loop.writer().abandoned() == 1, "a rank has not given the save up");
    expect(loop.writer().committed_step() == 1, "a rank takes step 2 for committed");
    meet();
    if (rank == 0) SetFileFault(nullptr);
    meet();
    expect(loop.Start(3), "the next save is skipped");
    loop.Run();
    expect(loop.writer().committed_step() == 3, "the next save is not committed");
    expect(loop.writer().Finish() == dir.path() + "/ckpt/step-00000003", "no folder");
  });
  SetFileFault(nullptr);
  for (const Thrown& one : thrown)
    if (one.code != ExitCode::kFinished) wrong.push_back(one.message);
  const std::vector<std::string> left = ListDir(dir.path() + "/ckpt");
  if (left != std::vector<std::string>{"step-00000001", "step-00000003"})
    wrong.push_back("in the folder: " + Join(left, " "));
  for (const std::string& folder : ListSteps(dir.path())) Reader(folder).Verify();
  return wrong;
}

TEST(F07_DiskFull, AllRanksGiveUpAndTheNextSaveWorks) {
  for (const FileOp at : {FileOp::kOpen, FileOp::kWrite, FileOp::kSync, FileOp::kClose}) {
    const auto wrong = GiveUpTogether([at](FileOp op, const std::string& path) {
      return op == at && IsShardOf(path, 2) ? ENOSPC : 0;
    });
    EXPECT_THAT(wrong, ElementsAre()) << static_cast<int>(at);
  }
}

TEST(F07_DiskFull, WithoutAgreementItIsFoundWrong) {
  const Without agreement(Protection::kAgreement);
  EXPECT_FALSE(GiveUpTogether(
                   [](FileOp op, const std::string& path) {
                     return op == FileOp::kWrite && IsShardOf(path, 2) ? ENOSPC : 0;
                   },
                   1)
                   .empty());
}

// A real refusal of the kernel: files may not grow past a limit.
TEST(F07_DiskFull, AFileSizeLimitOfTheKernel) {
  const TempDir dir;
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const auto attempt = Attempt::Acquire(dir.path());
    Loop loop(dir.path(), 0, 1, attempt.get(), Alone());
    loop.Start(1);
    loop.Run();
    rlimit limit = {20000, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
    loop.Start(2);
    loop.Run();
    const bool given_up = loop.writer().abandoned() == 1 && loop.writer().committed_step() == 1;
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    loop.Start(3);
    loop.Run();
    _exit(given_up && loop.writer().committed_step() == 3 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(ListDir(dir.path() + "/ckpt"), ElementsAre("step-00000001", "step-00000003"));
}

TEST(F08_WriteErrors, ErrorsOfEveryKindAreGivenUp) {
  for (const int error : {EIO, ENOSPC, EDQUOT, EROFS}) {
    const auto wrong = GiveUpTogether([error](FileOp op, const std::string& path) {
      return op == FileOp::kSync && IsShardOf(path, 1) ? error : 0;
    });
    EXPECT_THAT(wrong, ElementsAre()) << error;
  }
  // Of rank 0's own end, too.
  for (const FileOp at : {FileOp::kWrite, FileOp::kSync})
    EXPECT_THAT(GiveUpTogether([at](FileOp op, const std::string& path) {
                  return op == at && path.ends_with("MANIFEST") ? EIO : 0;
                }),
                ElementsAre());
}

TEST(F08_WriteErrors, InterruptedAndShortWritesAreCompleted) {
  const TempDir dir;
  const auto attempt = Attempt::Acquire(dir.path());
  std::atomic<int> writes = 0;
  SetFileFault([&](FileOp op, const std::string&) {
    if (op != FileOp::kWrite) return 0;
    const int n = ++writes;
    return n % 3 == 0 ? EINTR : n % 3 == 1 ? -1000 : -4096;
  });
  ExpectAll(SaveStep(dir.path(), attempt.get(), 1, 2), ExitCode::kFinished);
  SetFileFault(nullptr);
  EXPECT_GT(writes, 12);
  for (int rank = 0; rank < 2; ++rank)
    ExpectContent(dir.path() + "/ckpt/step-00000001", 1, rank, 2);
}

// A disk that takes half a second for every operation on rank 1's shard.
FileFault Slow() {
  return [](FileOp op, const std::string& path) {
    if ((op == FileOp::kWrite || op == FileOp::kSync) && IsShardOf(path, 1))
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
    return 0;
  };
}

TEST(F09_SlowStorage, TheSaveIsGivenUpAtItsDeadlineAndStepsAreNotSlower) {
  const TempDir dir;
  const auto attempt = Attempt::Acquire(dir.path());
  SetFileFault(Slow());
  const auto thrown = OnRanks(2, [&](int rank, const Exchange& exchange) {
    Loop loop(dir.path(), rank, 2, attempt.get(), exchange, /*deadline=*/0.3, /*wait=*/0.02);
    loop.Start(1);
    const auto begun = Clock::now();
    while (loop.writer().abandoned() == 0 && Seconds(Clock::now() - begun) < 10) loop.Step();
    EXPECT_GE(Seconds(Clock::now() - begun), 0.3);
    EXPECT_LE(Seconds(Clock::now() - begun), 2);
    // The slow write is still under way: the next save is skipped, and counted.
    EXPECT_FALSE(loop.Start(2));
    EXPECT_EQ(loop.writer().abandoned(), 2);
    for (int i = 0; i < 20; ++i) loop.Step();
    EXPECT_LT(loop.slowest(), 0.2) << "a step waited for the disk";
    exchange("meet", "");
    if (rank == 0) SetFileFault(nullptr);
    exchange("meet", "");
    loop.writer().Settle();
    EXPECT_TRUE(loop.Start(3));
    loop.Run();
    EXPECT_EQ(loop.writer().committed_step(), 3);
  });
  SetFileFault(nullptr);
  ExpectAll(thrown, ExitCode::kFinished);
  EXPECT_THAT(ListDir(dir.path() + "/ckpt"), ElementsAre("step-00000003"));
}

TEST(F09_SlowStorage, WithoutDeadlinesItIsFoundWrong) {
  EXPECT_THAT(GiveUpTogether(Slow(), 0.3), ElementsAre());
  const Without deadline(Protection::kDeadline);
  EXPECT_FALSE(GiveUpTogether(Slow(), 0.3).empty());
}

TEST(F11_UnfinishedSave, LeftoversAtTheSameStepAreReplaced) {
  const TempDir dir;
  const std::string folder = dir.path() + "/ckpt";
  const auto attempt = Attempt::Acquire(dir.path());
  ExpectAll(SaveStep(dir.path(), attempt.get(), 2, 3), ExitCode::kFinished);
  RenamePath(folder + "/step-00000002", folder + "/half");
  RenamePath(folder + "/half", folder + "/step-00000002");
  RemoveTree(folder + "/step-00000002/rank-0001.shard");
  MakeDirs(folder + "/.tmp-00000002-0123456789abcdef_000001_000001");
  MakeDirs(folder + "/.tmp-00000002-" + Replace(attempt->token(), "/", "_") + "-1");
  WriteFileAtomic(folder + "/.tmp-00000002-0123456789abcdef_000001_000001/rank-0000.shard", "half");
  ExpectAll(SaveStep(dir.path(), attempt.get(), 2, 3), ExitCode::kFinished);
  EXPECT_THAT(ListDir(folder), ElementsAre("quarantine", "step-00000002"));
  ExpectContent(folder + "/step-00000002", 2, 1, 3);
}

// An attempt whose run folder another one has taken; whether it published anything.
bool FencedPublishes(std::vector<Thrown>* thrown) {
  const TempDir dir;
  const auto attempt = Attempt::Acquire(dir.path());
  *thrown = OnRanks(3, [&](int rank, const Exchange& exchange) {
    Loop loop(dir.path(), rank, 3, attempt.get(), exchange);
    loop.Start(1);
    loop.Run();
    exchange("meet", "");
    if (rank == 0) WriteFileAtomic(dir.path() + "/ATTEMPT", attempt->run_id() + "/000002/000002\n");
    exchange("meet", "");
    loop.Start(2);
    loop.Run();
  });
  return ListSteps(dir.path()).size() != 1;
}

TEST(F12_TwoAttempts, TheOlderEndsAtItsNextCommitAndPublishesNothing) {
  std::vector<Thrown> thrown;
  EXPECT_FALSE(FencedPublishes(&thrown));
  ExpectAll(thrown, ExitCode::kFenced, "another attempt has taken the run folder");
}

TEST(F12_TwoAttempts, WithoutTheFenceItIsFoundWrong) {
  const Without fence(Protection::kFence);
  std::vector<Thrown> thrown;
  EXPECT_TRUE(FencedPublishes(&thrown));
}

TEST(F33_HostMemory, TooLittleIsRefusedAtTheStartWithNumbers) {
  const TempDir dir;
  const auto attempt = Attempt::Acquire(dir.path());
  const auto thrown = OnRanks(2, [&](int rank, const Exchange& exchange) {
    Writer writer({.run_folder = dir.path(), .rank = rank, .ranks = 2, .host_bytes = 10000},
                  rank == 0 ? attempt.get() : nullptr, exchange);
    writer.Reserve(MakeState(1, rank, 2).views);
  });
  ExpectAll(thrown, ExitCode::kConfig, "checkpoint.host_mb");
  ExpectAll(thrown, ExitCode::kConfig, HumanBytes(10000));
}

// Each of two ranks wants 60 % of the memory that is there; none of it is taken.
TEST(F33_HostMemory, TooLittleForAllRanksOfAMachineIsRefused) {
  const std::string info = ReadFile("/proc/meminfo");
  const std::int64_t share =
      std::atoll(info.c_str() + info.find("MemAvailable:") + 13) * 1024 / 10 * 6;
  const TempDir dir;
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit = {static_cast<rlim_t>(share), static_cast<rlim_t>(share)};
    setrlimit(RLIMIT_AS, &limit);
    const auto attempt = Attempt::Acquire(dir.path());
    const auto thrown = OnRanks(2, [&](int rank, const Exchange& exchange) {
      Writer writer({.run_folder = dir.path(), .rank = rank, .ranks = 2},
                    rank == 0 ? attempt.get() : nullptr, exchange);
      TensorView view{{"", "U8", {share}, Role::kParameter},
                      {0},
                      {share},
                      &view,
                      static_cast<std::size_t>(share)};
      std::vector<TensorView> views(2, view);
      views[0].meta.name = "one";
      views[1].meta.name = "two";
      writer.Reserve(views);
    });
    bool refused = true;
    for (const Thrown& one : thrown)
      refused = refused && one.code == ExitCode::kCannotSave &&
                one.message.find("the 2 rank(s) of ") != std::string::npos;
    _exit(refused ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(F33_HostMemory, AnAddressSpaceLimitIsAnErrorAndNotAKill) {
  const TempDir dir;
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit = {std::uint64_t{600} << 20, std::uint64_t{600} << 20};
    setrlimit(RLIMIT_AS, &limit);
    const auto attempt = Attempt::Acquire(dir.path());
    Writer writer({.run_folder = dir.path()}, attempt.get(), Alone());
    // A view that is never read: only its size counts here.
    TensorView view{{"big", "U8", {std::int64_t{1} << 30}, Role::kParameter},
                    {0},
                    {std::int64_t{1} << 30},
                    &view,
                    std::size_t{1} << 30};
    const Thrown thrown = Caught([&] { writer.Reserve({view}); });
    const bool numbers = thrown.message.find(HumanBytes(1u << 30)) != std::string::npos;
    _exit(thrown.code == ExitCode::kCannotSave && numbers ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace vesalius::checkpoints
