// kill -9 at random instants of a process that does nothing but save: the newest checkpoint always
// verifies, is never older than what the process had reported as committed, and saving goes on.
// VESALIUS_KILLS sets how often.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/file.h"
#include "base/random.h"
#include "checkpoints/attempt.h"
#include "checkpoints/manifest.h"
#include "tests/checkpoints/fixture.h"
#include "tests/util/temp_dir.h"

namespace vesalius::checkpoints {
namespace {

// Saves steps from the newest one on, until killed; reports every committed one.
[[noreturn]] void SaveForEver(const std::string& run, int report) {
  const auto attempt = Attempt::Acquire(run);
  std::int64_t step = 0;
  if (!ListSteps(run).empty()) step = Reader(ResolveStep(run, nullptr)).info().step;
  Writer writer({.run_folder = run, .rank = 0, .ranks = 1, .keep = {.newest = 2}}, attempt.get(),
                Alone());
  while (true) {
    ++step;
    writer.Save(MakeInfo(step), MakeState(step).views);
    if (write(report, &step, sizeof(step)) != sizeof(step)) _exit(1);
  }
}

TEST(Kill, TheNewestCheckpointIsAlwaysGood) {
  const char* given = std::getenv("VESALIUS_KILLS");
  const int kills = given != nullptr ? std::atoi(given) : 20;
  const TempDir dir;
  const std::string& run = dir.path();
  Random random(static_cast<std::uint64_t>(getpid()), Purpose::kTest);
  std::int64_t committed = 0;
  int leftovers = 0;
  for (int kill_number = 0; kill_number < kills; ++kill_number) {
    int report[2];
    ASSERT_EQ(pipe(report), 0);
    const pid_t child = fork();
    if (child == 0) SaveForEver(run, report[1]);
    close(report[1]);
    usleep(static_cast<useconds_t>(random.Below(120'000)));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
    std::int64_t step = 0;
    while (read(report[0], &step, sizeof(step)) == sizeof(step)) committed = step;
    close(report[0]);
    if (committed == 0 && ListSteps(run).empty()) continue;
    std::vector<std::string> skipped;
    const std::string newest = ResolveStep(run, &skipped);
    EXPECT_TRUE(skipped.empty()) << skipped[0];
    const std::int64_t found = Reader(newest).info().step;
    EXPECT_GE(found, committed);
    EXPECT_LE(found, committed + 1);
    ExpectContent(newest, found);
    committed = found;
    for (const std::string& name : ListDir(CheckpointFolder(run))) leftovers += name[0] == '.';
  }
  EXPECT_GT(committed, 0);
  std::printf("%d kills, %lld steps, %d unfinished folders met\n", kills,
              static_cast<long long>(committed), leftovers);
}

}  // namespace
}  // namespace vesalius::checkpoints
