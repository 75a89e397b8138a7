// F5: a process is killed at every named point of a save, at every rank in turn. The newest
// committed step loads, at most the save under way is lost, and the next start sweeps what it left
// and saves on.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/file.h"
#include "checkpoints/attempt.h"
#include "checkpoints/commit.h"
#include "tests/checkpoints/fixture.h"
#include "tests/util/temp_dir.h"

namespace vesalius::checkpoints {
namespace {

constexpr int kRanks = 3;

[[noreturn]] void SaveAndDie(const std::string& run, const std::string& point, int victim) {
  const auto attempt = Attempt::Acquire(run);
  if (SaveStep(run, attempt.get(), 1, kRanks)[0].code != ExitCode::kFinished) _exit(1);
  SetSavePoint([&](const char* now, std::int64_t step, int rank) {
    if (step == 2 && rank == victim && now == point) raise(SIGKILL);
  });
  SaveStep(run, attempt.get(), 2, kRanks);
  _exit(2);
}

void KillAt(const std::string& point, int victim) {
  const TempDir dir;
  const std::string& run = dir.path();
  const pid_t child = fork();
  if (child == 0) SaveAndDie(run, point, victim);
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status)) << point << ": it ended by itself, " << status;
  std::vector<std::string> skipped;
  const std::string newest = ResolveStep(run, &skipped);
  EXPECT_TRUE(skipped.empty()) << skipped[0];
  const std::int64_t step = Reader(newest).info().step;
  const bool published = point == "rename" || point == "committed";
  EXPECT_EQ(step, published ? 2 : 1) << point << " of rank " << victim;
  for (int rank = 0; rank < 2; ++rank) ExpectContent(newest, step, rank, 2);
  const auto attempt = Attempt::Acquire(run);
  ExpectAll(SaveStep(run, attempt.get(), 2, kRanks), ExitCode::kFinished);
  ExpectContent(run + "/ckpt/step-00000002", 2);
  EXPECT_EQ(ListDir(run + "/ckpt"), (std::vector<std::string>{"step-00000001", "step-00000002"}));
}

TEST(F05_KilledInSave, OfAnyRank) {
  for (const char* point : {"stage", "staged", "write", "written"})
    for (int rank = 0; rank < kRanks; ++rank) KillAt(point, rank);
}

TEST(F05_KilledInSave, OfRankZeroInTheCommit) {
  for (const char* point : {"manifest", "rename", "committed"}) KillAt(point, 0);
}

}  // namespace
}  // namespace vesalius::checkpoints
