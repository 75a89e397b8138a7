// Agents that die or are cut off, nodes that are lost, signals at any moment (F24, F28, F29, F40).
// Nodes are simulated: an agent and its ranks each, on one machine.
#include "base/rank_page.h"
#include "launch/agent/rank_processes.h"
#include "tests/faults/launched.h"

namespace vesalius::launch {
namespace {

using testing::HasSubstr;
constexpr int kSteps = 400;  // long enough to be hit
constexpr const char* kQuick = "--set trainer.checkpoint_every=50 ";

double Now() { return static_cast<double>(page::Now()) * 1e-9; }

bool Steps(const Launched& launched, std::int64_t step) {
  return WaitUntil([&] { return launched.StepOf("run") >= step; }, 60);
}

TEST(F28, RanksDieWithTheirAgent) {
  for (const char* flags : {"--ranks 2 --no-mpi", "--ranks 2"}) {
    Launched launched;
    Background agent(launched.Line("run", flags, 4000, kQuick), launched.log("run"));
    ASSERT_TRUE(Steps(launched, 5)) << flags;
    ASSERT_EQ(launched.Ranks("run").size(), 2U);
    ::kill(agent.pid(), SIGKILL);
    const double killed = Now();
    EXPECT_TRUE(WaitUntil([&] { return launched.Ranks("run").empty(); }, 10));
    EXPECT_LT(Now() - killed, 1) << flags;
    agent.Wait(5);
    // The next launch goes on, and clears what the dead agent left in memory.
    const Outcome outcome = launched.Run("run", flags, 60, kQuick);
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    EXPECT_FALSE(Exists(launched.Memory("run")));
  }
}

TEST(F28, ASecondAgentIsRefusedWhileTheFirstLives) {
  for (const char* flags : {"--ranks 2 --no-mpi", "--ranks 2 --nodes 2 --local --no-mpi"}) {
    Launched launched;
    Background agent(launched.Line("run", flags, 4000, kQuick), launched.log("run"));
    ASSERT_TRUE(Steps(launched, 5)) << flags;
    const std::vector<std::string> saved = trainer::Committed(launched.run("run"));
    const Outcome second = launched.Run("run", flags, 60, kQuick);
    EXPECT_EQ(second.status, 76) << second.output;
    const std::vector<pid_t> children = ChildrenOf(agent.pid());
    const pid_t watching =
        StrCat(flags).find("--local") == std::string::npos ? agent.pid() : children[0];
    EXPECT_THAT(second.output,
                HasSubstr(StrCat("an agent (process ", watching, " on this node) still watches")));
    EXPECT_TRUE(WaitUntil([&] { return trainer::Committed(launched.run("run")) != saved; }, 30))
        << "the first one goes on";
    ::kill(agent.pid(), SIGTERM);
    EXPECT_EQ(agent.Wait(60).status, 75);
    EXPECT_FALSE(Exists(launched.run("run") + "/failure.json"));
  }
}

TEST(F28, ALostNodeIsReplacedByASpare) {
  Launched launched;
  Background launch(
      launched.Line("run", "--ranks 2 --nodes 2 --spares 1 --local --no-mpi", kSteps, kQuick),
      launched.log("run"));
  ASSERT_TRUE(Steps(launched, 60));
  const std::vector<pid_t> agents = ChildrenOf(launch.pid());
  ASSERT_EQ(agents.size(), 3U);
  const double crashed = Now();
  ::kill(agents[1], SIGKILL);
  ASSERT_TRUE(WaitUntil([&] { return Exists(launched.run("run") + "/failure.json"); }, 15));
  const pid_t old = trainer::PidOfRank(launched.run("run"), 1);
  const std::int64_t reached = launched.StepOf("run");
  EXPECT_TRUE(WaitUntil([&] { return trainer::PidOfRank(launched.run("run"), 1) != old; }, 15));
  EXPECT_TRUE(WaitUntil([&] { return launched.StepOf("run") > reached || !launch.Running(); }, 30));
  std::printf("node crash to stepping on a spare: %.2f s\n", Now() - crashed);
  EXPECT_LT(Now() - crashed, 15);
  const Outcome outcome = launch.Wait(90);
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  const Json failure = launched.Failure("run");
  EXPECT_EQ(failure.at("attempt"), 1);
  EXPECT_THAT(failure.at("action"), HasSubstr("on a spare"));
}

TEST(F24, OthersLeaveWhenTheFirstNodeIsLost) {
  Launched launched;
  Background launch(launched.Line("run", "--ranks 2 --nodes 2 --local --no-mpi", 4000, kQuick),
                    launched.log("run"));
  ASSERT_TRUE(Steps(launched, 5));
  const double crashed = Now();
  ::kill(ChildrenOf(launch.pid())[0], SIGKILL);
  EXPECT_EQ(launch.Wait(20).status, 80);
  EXPECT_LT(Now() - crashed, 7);
  EXPECT_TRUE(launched.Ranks("run").empty());
  const Outcome next = launched.Run("run", "--ranks 2 --nodes 2 --local --no-mpi", 60, kQuick);
  EXPECT_EQ(next.status, 0) << next.output;
}

// A network cut, from the first node's side: nothing is heard of the other any more.
TEST(F29, ANodeThatIsCutOffCountsAsLost) {
  Launched launched;
  Background launch(launched.Line("run", "--ranks 2 --nodes 2 --local --no-mpi", 4000, kQuick),
                    launched.log("run"));
  ASSERT_TRUE(Steps(launched, 5));
  const pid_t agent = ChildrenOf(launch.pid())[1];
  ::kill(agent, SIGSTOP);
  ASSERT_TRUE(WaitUntil([&] { return Exists(launched.run("run") + "/failure.json"); }, 15));
  const Json cause = launched.Failure("run").at("cause");
  EXPECT_EQ(cause.at("kind"), "node lost");
  EXPECT_EQ(cause.at("node"), "node1");
  ::kill(agent, SIGCONT);  // it wakes up, and must change nothing
  EXPECT_EQ(launch.Wait(30).status, 80);
  EXPECT_TRUE(launched.Ranks("run").empty());
}

TEST(F40, ARequestedStopIsNoCrashOfTheLauncher) {
  Launched launched;
  Background launch(launched.Line("run", "--ranks 2", 4000, kQuick), launched.log("run"));
  ASSERT_TRUE(Steps(launched, 5));
  ::kill(launch.pid(), SIGTERM);
  const Outcome stopped = launch.Wait(60);
  EXPECT_EQ(stopped.status, 75);
  EXPECT_THAT(stopped.output, HasSubstr("stopped on request"));
  for (const char* words : {"abort is already in progress", "Process received signal"})
    EXPECT_THAT(stopped.output, testing::Not(HasSubstr(words)));
}

TEST(F40, UnderNohupAHangUpIsNoRequest) {
  Launched launched;
  Background launch("nohup " + launched.Line("run", "--ranks 2 --no-mpi", 4000, kQuick),
                    launched.log("run"));
  ASSERT_TRUE(Steps(launched, 5));
  ::kill(launch.pid(), SIGHUP);
  const std::int64_t step = launched.StepOf("run");
  EXPECT_TRUE(Steps(launched, step + 100));
  ::kill(launch.pid(), SIGTERM);
  EXPECT_EQ(launch.Wait(60).status, 75);
}

TEST(F40, ASignalAtAnyMomentLeavesAWholeRun) {
  Launched launched;
  Background reference(launched.Line("reference", "--ranks 2 --no-mpi", 30),
                       launched.log("reference"));
  ASSERT_EQ(reference.Wait(60).status, 0);
  // From when the agent is there, over loading and the first steps, to the end.
  for (int trial = 0; trial < 8; ++trial) {
    const std::string name = StrCat("run", trial);
    Background launch(launched.Line(name, "--ranks 2 --no-mpi", 30), launched.log(name));
    ASSERT_TRUE(WaitUntil([&] { return Exists(launched.Memory(name) + "/agent"); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(350 * trial));
    ::kill(launch.pid(), trial % 2 == 0 ? SIGTERM : SIGUSR2);
    const Outcome stopped = launch.Wait(60);
    EXPECT_TRUE(stopped.status == 75 || stopped.status == 0) << stopped.status << stopped.output;
    EXPECT_FALSE(Exists(launched.run(name) + "/failure.json")) << stopped.output;
    EXPECT_TRUE(launched.Ranks(name).empty());
    const Outcome next = launched.Run(name, "--ranks 2 --no-mpi", 30);
    ASSERT_EQ(next.status, 0) << next.output;
    EXPECT_EQ(launched.Digest(name), launched.Digest("reference"));
  }
}

}  // namespace
}  // namespace vesalius::launch
