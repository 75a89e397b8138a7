// The fence of a run folder: one owner at a time, tokens that only rise, nothing from the fenced.
#include "checkpoints/attempt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "tests/checkpoints/fixture.h"
#include "tests/util/temp_dir.h"

namespace vesalius::checkpoints {
namespace {

using testing::HasSubstr;

TEST(AttemptTest, TokensRiseAndTheRunIdStays) {
  const TempDir dir;
  const std::string run = dir.path() + "/a/run";
  std::string token, id;
  for (int number = 1; number <= 12; ++number) {
    const auto attempt = Attempt::Acquire(run);
    EXPECT_EQ(attempt->number(), number);
    EXPECT_GT(attempt->token(), token);
    if (number > 1) {
      EXPECT_EQ(attempt->run_id(), id);
    }
    token = attempt->token();
    id = attempt->run_id();
    EXPECT_EQ(ReadFile(run + "/ATTEMPT"), token + "\n");
    attempt->CheckFence();
  }
  EXPECT_NE(Attempt::Acquire(dir.path() + "/b")->run_id(), id);
}

TEST(AttemptTest, ALivingOwnerIsNamed) {
  const TempDir dir;
  const auto first = Attempt::Acquire(dir.path());
  const Thrown thrown = Caught([&] { Attempt::Acquire(dir.path()); });
  EXPECT_EQ(thrown.code, ExitCode::kFenced);
  char host[256];
  ASSERT_EQ(gethostname(host, sizeof(host)), 0);
  EXPECT_THAT(thrown.message, HasSubstr("pid " + std::to_string(getpid()) + " on host " + host));
  EXPECT_THAT(thrown.message, HasSubstr("--run"));
  first->CheckFence();  // the refused one changed nothing
}

// VESALIUS_GENERATION for one scope.
class Launch {
 public:
  explicit Launch(const char* generation) { ::setenv("VESALIUS_GENERATION", generation, 1); }
  ~Launch() { ::unsetenv("VESALIUS_GENERATION"); }
};

TEST(AttemptTest, ALaunchTakesOverFromALivingOwnerWhichIsFenced) {
  const TempDir dir;
  const auto frozen = Attempt::Acquire(dir.path());
  const Launch second("2");
  const auto next = Attempt::Acquire(dir.path());
  EXPECT_EQ(next->number(), 2);
  EXPECT_THAT(next->token(), testing::EndsWith("/000002/000002"));
  EXPECT_EQ(Caught([&] { frozen->CheckFence(); }).code, ExitCode::kFenced);
  const auto again = Attempt::Acquire(dir.path());
  EXPECT_THAT(again->token(), testing::EndsWith("/000002/000003")) << "another attempt of it";
  EXPECT_EQ(Caught([&] { next->CheckFence(); }).code, ExitCode::kFenced);
  again->CheckFence();
}

TEST(AttemptTest, AnOlderLaunchIsRefused) {
  const TempDir dir;
  {
    const Launch third("3");
    Attempt::Acquire(dir.path());
  }
  const Launch second("2");
  const Thrown thrown = Caught([&] { Attempt::Acquire(dir.path()); });
  EXPECT_EQ(thrown.code, ExitCode::kFenced);
  EXPECT_THAT(thrown.message, HasSubstr("newer launch"));
}

TEST(AttemptTest, AKilledOwnerIsFollowed) {
  const TempDir dir;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto attempt = Attempt::Acquire(dir.path());
    if (write(ready[1], "x", 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_THAT(Caught([&] { Attempt::Acquire(dir.path()); }).message,
              HasSubstr("pid " + std::to_string(child)));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(Attempt::Acquire(dir.path())->number(), 2);
  close(ready[0]);
  close(ready[1]);
}

// Eight processes start at once, ten times: exactly one owns the folder, the others get 76.
TEST(AttemptTest, OfRacingProcessesOneWins) {
  const TempDir dir;
  for (int round = 1; round <= 10; ++round) {
    int start[2], leave[2];
    ASSERT_EQ(pipe(start), 0);
    ASSERT_EQ(pipe(leave), 0);
    std::vector<pid_t> children;
    int result[2];
    ASSERT_EQ(pipe(result), 0);
    for (int i = 0; i < 8; ++i) {
      children.push_back(fork());
      if (children.back() != 0) continue;
      close(start[1]);
      close(leave[1]);
      char byte;
      if (read(start[0], &byte, 1) != 0) _exit(1);
      std::unique_ptr<Attempt> attempt;
      const Thrown thrown = Caught([&] { attempt = Attempt::Acquire(dir.path()); });
      const char code = static_cast<char>(thrown.code);
      if (write(result[1], &code, 1) != 1) _exit(1);
      if (read(leave[0], &byte, 1) != 0) _exit(1);  // keep it until all have tried
      _exit(0);
    }
    close(start[1]);
    int won = 0, fenced = 0;
    for (int i = 0; i < 8; ++i) {
      char code = 1;
      ASSERT_EQ(read(result[0], &code, 1), 1);
      won += code == 0;
      fenced += code == static_cast<char>(ExitCode::kFenced);
    }
    close(leave[1]);
    for (const pid_t child : children) waitpid(child, nullptr, 0);
    for (const int fd : {start[0], leave[0], result[0], result[1]}) close(fd);
    EXPECT_EQ(won, 1);
    EXPECT_EQ(fenced, 7);
  }
  EXPECT_EQ(Attempt::Acquire(dir.path())->number(), 11);
}

TEST(AttemptTest, AFencedAttemptPublishesNothing) {
  const TempDir dir;
  const auto attempt = Attempt::Acquire(dir.path());
  ExpectAll(SaveStep(dir.path(), attempt.get(), 1, 2), ExitCode::kFinished);
  const std::string newer = attempt->run_id() + "/000002/000002";
  WriteFileAtomic(dir.path() + "/ATTEMPT", newer + "\n");
  EXPECT_EQ(Caught([&] { attempt->CheckFence(); }).code, ExitCode::kFenced);
  const auto thrown = SaveStep(dir.path(), attempt.get(), 2, 2);
  ExpectAll(thrown, ExitCode::kFenced, newer);
  EXPECT_EQ(ListDir(dir.path() + "/ckpt"), std::vector<std::string>{"step-00000001"});
  RemoveTree(dir.path() + "/ATTEMPT");
  EXPECT_EQ(Caught([&] { attempt->CheckFence(); }).code, ExitCode::kFenced);
}

// A disk that does not tell for a while, here a link that leads to itself.
TEST(AttemptTest, ATokenThatCannotBeReadFailsTheSaveAndFencesNobody) {
  const TempDir dir;
  const auto attempt = Attempt::Acquire(dir.path());
  const std::string path = dir.path() + "/ATTEMPT";
  RenamePath(path, path + ".aside");
  std::filesystem::create_symlink("ATTEMPT", path);
  EXPECT_EQ(Caught([&] { attempt->CheckFence(); }).code, ExitCode::kInputMissing);
  ExpectAll(SaveStep(dir.path(), attempt.get(), 1, 2), ExitCode::kCannotSave, path);
  {
    const Launch next("2");
    EXPECT_EQ(Caught([&] { Attempt::Acquire(dir.path()); }).code, ExitCode::kInputMissing)
        << "nobody begins a run anew over this one";
  }
  RenamePath(path + ".aside", path);
  ExpectAll(SaveStep(dir.path(), attempt.get(), 2, 2), ExitCode::kFinished);
}

TEST(AttemptTest, DamagedTokenAndUnwritableFolder) {
  const TempDir dir;
  Attempt::Acquire(dir.path());
  for (const char* text : {"", "abc", "a/b/c", "x/000001/000001", "/000001/000001\n"}) {
    WriteFileAtomic(dir.path() + "/ATTEMPT", text);
    const Thrown thrown = Caught([&] { Attempt::Acquire(dir.path()); });
    EXPECT_EQ(thrown.code, ExitCode::kInvalidData) << text;
    EXPECT_THAT(thrown.message, HasSubstr("ATTEMPT"));
  }
  EXPECT_EQ(Caught([] { Attempt::Acquire("/proc/vesalius-run"); }).code, ExitCode::kCannotCreate);
}

TEST(AttemptTest, DoneStaysUntilTheRunGoesOn) {
  const TempDir dir;
  Attempt::Acquire(dir.path());
  MarkDone(dir.path(), MakeInfo(5));
  EXPECT_THAT(ReadFile(dir.path() + "/DONE"), HasSubstr("\"step\":5"));
  Attempt::Acquire(dir.path());
  EXPECT_TRUE(Exists(dir.path() + "/DONE")) << "a start may still be refused";
  UnmarkDone(dir.path());
  EXPECT_FALSE(Exists(dir.path() + "/DONE"));
}

}  // namespace
}  // namespace vesalius::checkpoints
