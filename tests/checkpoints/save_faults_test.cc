// Saving on a disk that fails: whatever operation fails, no half checkpoint is ever visible, older
// ones stay, every rank fails with the same code, and the next save works.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <map>

#include "base/file.h"
#include "checkpoints/attempt.h"
#include "checkpoints/boxes.h"
#include "checkpoints/manifest.h"
#include "tests/checkpoints/fixture.h"
#include "tests/util/temp_dir.h"

namespace vesalius::checkpoints {
namespace {

using testing::HasSubstr;

void ExpectEverythingVisibleIsWhole(const std::string& run) {
  for (const std::string& folder : ListSteps(run)) {
    const std::int64_t step = Reader(folder).info().step;
    Reader(folder).Verify();
    ExpectContent(folder, step);
  }
}

// Fails the `n`-th operation of a save with each of `errors`, n = 0, 1, ... until a save has fewer.
void FailEachOperation(int ranks, bool existing, const std::vector<int>& errors) {
  const TempDir dir;
  const std::string& run = dir.path();
  const auto attempt = Attempt::Acquire(run);
  ExpectAll(SaveStep(run, attempt.get(), 1, ranks, 2), ExitCode::kFinished);
  std::map<FileOp, int> failed;
  std::int64_t step = 2;
  bool fired = true;
  for (int n = 0; fired; ++n) {
    for (const int error : errors) {
      const std::string damaged = CheckpointFolder(run) + "/" + StepName(step);
      if (existing) MakeDirs(damaged);
      std::atomic<int> count = 0;
      std::atomic<bool> hit = false;
      SetFileFault([&](FileOp op, const std::string&) {
        if (count++ != n) return 0;
        hit = true;
        ++failed[op];
        return error;
      });
      const auto thrown = SaveStep(run, attempt.get(), step, ranks, 2);
      SetFileFault(nullptr);
      fired = hit;
      for (const Thrown& one : thrown) EXPECT_EQ(one.code, thrown[0].code);
      const bool saved = thrown[0].code == ExitCode::kFinished;
      if (!saved) ExpectAll(thrown, ExitCode::kCannotSave, "step " + std::to_string(step));
      if (existing && !saved && IsDir(damaged) && ListDir(damaged).empty())
        RemoveTree(damaged);  // not ours: as it was put there
      ExpectEverythingVisibleIsWhole(run);
      const std::string newest = ResolveStep(run, nullptr);
      EXPECT_GE(StepOfName(newest.substr(newest.rfind('/') + 1)), saved ? step : step - 1);
      ++step;
      ExpectAll(SaveStep(run, attempt.get(), step, ranks, 2), ExitCode::kFinished);
      ExpectContent(CheckpointFolder(run) + "/" + StepName(step), step);
      for (const std::string& name : ListDir(CheckpointFolder(run)))
        EXPECT_FALSE(name.starts_with(".")) << name << " left behind, operation " << n;
      ++step;
    }
  }
  for (const FileOp op : {FileOp::kOpen, FileOp::kRead, FileOp::kWrite, FileOp::kSync,
                          FileOp::kClose, FileOp::kRename, FileOp::kRemove, FileOp::kMakeDir})
    EXPECT_GE(failed[op], 1) << static_cast<int>(op);
}

TEST(SaveFaults, EveryOperationOneRank) { FailEachOperation(1, false, {ENOSPC, EIO, EACCES}); }
TEST(SaveFaults, EveryOperationThreeRanks) { FailEachOperation(3, false, {ENOSPC}); }
TEST(SaveFaults, EveryOperationOverADamagedStep) { FailEachOperation(1, true, {EIO}); }

TEST(SaveFaults, TheFirstCauseReachesEveryRank) {
  const TempDir dir;
  const auto attempt = Attempt::Acquire(dir.path());
  SetFileFault([](FileOp op, const std::string& path) {
    return op == FileOp::kWrite && path.ends_with("rank-0002.shard") ? ENOSPC : 0;
  });
  const auto thrown = SaveStep(dir.path(), attempt.get(), 5, 4);
  SetFileFault(nullptr);
  ExpectAll(thrown, ExitCode::kCannotSave, "rank 2: cannot write");
  ExpectAll(thrown, ExitCode::kCannotSave, "rank-0002.shard: No space left on device");
  ExpectAll(thrown, ExitCode::kCannotSave, "free some space");
  EXPECT_TRUE(ListDir(dir.path() + "/ckpt").empty());
}

TEST(SaveFaults, TooLittleSpaceIsSaidInNumbers) {
  const TempDir dir;
  const auto attempt = Attempt::Acquire(dir.path());
  Writer writer({.run_folder = dir.path(), .rank = 0, .ranks = 1, .keep = {.newest = 2}},
                attempt.get(), Alone());
  State state;
  state.Add("huge", "F32", {std::int64_t{1} << 50}, Role::kParameter, {{0}, {4}});
  const Thrown thrown = Caught([&] { writer.Save(MakeInfo(1), state.views); });
  EXPECT_EQ(thrown.code, ExitCode::kCannotSave);
  EXPECT_THAT(thrown.message, HasSubstr(HumanBytes(std::uint64_t{1} << 52)));
  EXPECT_TRUE(ListDir(dir.path() + "/ckpt").empty());
}

// A real refusal of the kernel: files may not grow past a limit.
TEST(SaveFaults, AFileSizeLimit) {
  const TempDir dir;
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const auto attempt = Attempt::Acquire(dir.path());
    const bool first = SaveStep(dir.path(), attempt.get(), 1, 1)[0].code == ExitCode::kFinished;
    const rlimit limit = {20000, 20000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const Thrown thrown = SaveStep(dir.path(), attempt.get(), 2, 1)[0];
    const bool named = thrown.message.find("rank-0000.shard: File too large") != std::string::npos;
    _exit(first && named ? static_cast<int>(thrown.code) : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(ExitCode::kCannotSave));
  ExpectEverythingVisibleIsWhole(dir.path());
  EXPECT_EQ(ListDir(dir.path() + "/ckpt"), std::vector<std::string>{"step-00000001"});
}

}  // namespace
}  // namespace vesalius::checkpoints
