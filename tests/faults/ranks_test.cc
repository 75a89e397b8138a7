// Ranks that die, fail, hang or are slow, under an agent of one node (F1-F4, F23, F27, F39).
#include "tests/faults/launched.h"
#include "tests/faults/pages.h"

namespace vesalius::launch {
namespace {

using testing::HasSubstr;
constexpr int kSteps = 12;

struct Death {
  const char* fault;
  int signal;
};

class F01 : public testing::TestWithParam<std::tuple<Death, const char*>> {};
INSTANTIATE_TEST_SUITE_P(Deaths, F01,
                         testing::Combine(testing::Values(Death{"kill", SIGKILL},
                                                          Death{"segv", SIGSEGV},
                                                          Death{"abort", SIGABRT}),
                                          testing::Values("--no-mpi", "")),
                         [](const auto& info) {
                           return StrCat(std::get<0>(info.param).fault,
                                         *std::get<1>(info.param) != 0 ? "_plain" : "_mpi");
                         });

TEST_P(F01, KilledRankIsNamedAndNothingIsLost) {
  const auto& [death, flags] = GetParam();
  Launched launched;
  const Outcome outcome = launched.Run("run", StrCat("--ranks 2 ", flags), kSteps,
                                       StrCat("--fault ", death.fault, "@8:1"));
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  const Json cause = launched.Failure("run").at("cause");
  EXPECT_EQ(cause.at("rank"), 1);
  EXPECT_EQ(cause.at("signal"), death.signal);
  EXPECT_EQ(cause.at("step"), 7);
  EXPECT_EQ(cause.at("section"), "step");
  EXPECT_THAT(outcome.output, HasSubstr(StrCat("was ended by signal ", death.signal)));
  EXPECT_EQ(launched.Digest("run"), launched.Undisturbed(kSteps));
  EXPECT_TRUE(launched.Ranks("run").empty());
}

TEST(F02, AFailureOfOneRankIsTriedAgain) {
  Launched launched;
  const Outcome outcome =
      launched.Run("run", "--ranks 2 --no-mpi", kSteps, "--fault exit@5:1 --fault throw@8:0");
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("rank 1 on "));
  EXPECT_THAT(outcome.output, HasSubstr("ended with exit code 3"));
  const Json cause = launched.Failure("run").at("cause");
  EXPECT_EQ(cause.at("code"), 65);
  EXPECT_EQ(cause.at("rank"), 0);
  EXPECT_EQ(cause.at("message"), "record that --fault throw@8:0 calls damaged");
  EXPECT_EQ(cause.at("section"), "step");
  EXPECT_EQ(launched.Digest("run"), launched.Undisturbed(kSteps));
}

TEST(F02, TheSameRecordTwiceIsTheEnd) {
  Launched launched;
  const Outcome outcome =
      launched.Run("run", "--ranks 2 --no-mpi", kSteps, "--fault throw@8:0:always");
  EXPECT_EQ(outcome.status, 65) << outcome.output;
  EXPECT_EQ(launched.Failure("run").at("attempt"), 2);
  EXPECT_EQ(launched.Failure("run").at("code"), 65);
}

TEST(F02, AWrongConfigurationIsNotTriedAgain) {
  Launched launched;
  const Outcome outcome =
      launched.Run("run", "--ranks 2 --no-mpi", kSteps, "--set trainer.lr=fast");
  EXPECT_EQ(outcome.status, 78) << outcome.output;
  EXPECT_EQ(launched.Failure("run").at("attempt"), 1);
}

class F03 : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Starters, F03, testing::Values("--no-mpi", ""),
                         [](const auto& info) { return *info.param != 0 ? "plain" : "mpi"; });

TEST_P(F03, AHangIsNamedAtItsDeadline) {
  Launched launched;
  const Outcome outcome = launched.Run("run", StrCat("--ranks 2 --deadline step=3 ", GetParam()),
                                       kSteps, "--fault stop@5:1 --fault hang@9:0");
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("is stopped in section step after step 4"));
  const Json cause = launched.Failure("run").at("cause");
  EXPECT_EQ(cause.at("kind"), "hang");
  EXPECT_EQ(cause.at("rank"), 0);
  EXPECT_EQ(cause.at("section"), "step");
  EXPECT_EQ(cause.at("step"), 8);
  EXPECT_NE(cause.at("collective"), "");
  EXPECT_LT(cause.at("seconds"), 3 + 2);
  const Json failure = launched.Failure("run");
  ASSERT_EQ(failure.at("ranks").size(), 2);
  EXPECT_FALSE(failure.at("ranks")[0].at("waiting"));
  EXPECT_TRUE(failure.at("ranks")[1].at("waiting"));
  EXPECT_EQ(failure.at("ranks")[1].at("collective"), cause.at("collective"));
  // One sleeps, the other waits.
  ASSERT_EQ(failure.at("stacks").size(), 2) << failure;
  for (const Json& stack : failure.at("stacks"))
    EXPECT_EQ(stack.at("ranks") == Json::array({0}),
              stack.at("calls").dump().find("Faults::At") != std::string::npos)
        << stack;
  EXPECT_EQ(launched.Digest("run"), launched.Undisturbed(kSteps));
}

// The deadline is what ends it: without one (an hour) it would go on hanging.
TEST(F03, WithoutADeadlineAHangIsNotSeen) {
  Launched launched;
  Background run(
      launched.Line("run", "--ranks 2 --no-mpi --deadline step=3600", kSteps, "--fault hang@5:1"),
      launched.log("run"));
  ASSERT_TRUE(WaitUntil([&] { return launched.StepOf("run") == 4; }));
  std::this_thread::sleep_for(std::chrono::seconds(6));
  EXPECT_TRUE(run.Running());
  EXPECT_FALSE(Exists(launched.run("run") + "/failure.json"));
}

// Wherever a rank is stopped while it trains, the deadline is that of a step.
TEST(F03, BetweenStepsARankIsStillInASection) {
  Launched launched;
  Background run(launched.Line("run", "--ranks 1 --no-mpi", 1000000,
                               "--set trainer.checkpoint_every=0 --set watch.replica_every=1"),
                 launched.log("run"));
  const Pages pages(launched.Memory("run"));
  std::shared_ptr<const page::Page> page;
  ASSERT_TRUE(WaitUntil([&] { return (page = pages.Of(0)) != nullptr && page->steps > 7; }))
      << ReadFile(launched.log("run"));
  int outside = 0;
  constexpr int kLooks = 20000;
  for (int look = 0; look < kLooks; ++look) {
    outside += page->sections[static_cast<int>(page::Section::kStep)].entered_at == 0 ? 1 : 0;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  EXPECT_LT(outside, kLooks / 1000);
}

TEST(F04, ASlowRankIsFlaggedAndNotRestarted) {
  Launched launched;
  const Outcome outcome = launched.Run("run", "--ranks 2 --no-mpi", 340,
                                       "--fault slow@5:1 --set trainer.checkpoint_every=0");
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("is slow in forward"));
  EXPECT_THAT(outcome.output, HasSubstr("rank 1 on"));
  EXPECT_FALSE(Exists(launched.run("run") + "/failure.json"));
}

// A launcher that fails `times` times before it works.
std::string FailingMpirun(const std::string& folder, int times) {
  MakeDirs(folder);
  WriteFileAtomic(
      folder + "/mpirun",
      StrCat("#!/bin/sh\nn=$(cat ", folder, "/n 2>/dev/null || echo 0)\n", "if [ $n -lt ", times,
             " ]; then echo $((n+1)) > ", folder, "/n; echo 'tree fence failed' >&2; exit 1; fi\n",
             "PATH=${PATH#*:} exec mpirun \"$@\"\n"));
  Shell("chmod +x " + folder + "/mpirun");
  return StrCat("PATH=", folder, ":$PATH ");
}

// Ranks that never open their pages are in init from when they were to be started.
TEST(F03, ARankThatNeverComesIsNamedAtTheDeadlineOfInit) {
  Launched launched;
  const std::string bin = launched.run("bin");
  MakeDirs(bin);
  WriteFileAtomic(bin + "/mpirun",
                  StrCat("#!/bin/sh\nif mkdir ", bin, "/once 2>/dev/null; then exec sleep 60; fi\n",
                         "PATH=${PATH#*:} exec mpirun \"$@\"\n"));
  Shell("chmod +x " + bin + "/mpirun");
  const Outcome outcome = Shell(
      StrCat("PATH=", bin, ":$PATH ", launched.Line("run", "--ranks 2 --deadline init=8", 4)));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  const Json cause = launched.Failure("run").at("cause");
  EXPECT_EQ(cause.at("kind"), "hang");
  EXPECT_EQ(cause.at("section"), "init");
  EXPECT_GE(cause.at("seconds"), 8);
  EXPECT_LT(cause.at("seconds"), 8 + 2);
}

TEST(F23, TwoFailedLaunchesAreTriedAgainInSilence) {
  Launched launched;
  const Outcome outcome =
      Shell(FailingMpirun(launched.run("bin"), 2) + launched.Line("run", "--ranks 2", 4));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_EQ(outcome.output.find("warning"), std::string::npos) << outcome.output;
}

TEST(F23, TheThirdIsTold) {
  Launched launched;
  const Outcome outcome =
      Shell(FailingMpirun(launched.run("bin"), 3) + launched.Line("run", "--ranks 2", 4));
  EXPECT_EQ(outcome.status, 79) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("the ranks could not be started: the launcher ended with "
                                        "exit code 1"));
}

TEST(F27, ACrashLoopIsGivenUp) {
  Launched launched;
  const Outcome outcome =
      launched.Run("run", "--ranks 2 --no-mpi", kSteps, "--fault kill@2:1:always");
  EXPECT_EQ(outcome.status, 93) << outcome.output;
  const Json failure = launched.Failure("run");
  EXPECT_EQ(failure.at("attempt"), 3);
  EXPECT_EQ(failure.at("code"), 93);
}

TEST(F39, ThreeRestartsInARowGoOnWhereTheyWere) {
  Launched launched;
  const Outcome outcome = launched.Run("run", "--ranks 2 --no-mpi", kSteps,
                                       "--fault kill@4:1 --fault kill@8:0 --fault abort@11:1");
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_EQ(launched.Failure("run").at("attempt"), 3);
  launched.Undisturbed(kSteps);
  trainer::ExpectSameMetrics(launched.run("run"), launched.run("undisturbed"));
  EXPECT_EQ(launched.Digest("run"), launched.Undisturbed(kSteps));
}

}  // namespace
}  // namespace vesalius::launch
