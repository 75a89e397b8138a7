// The parts of an agent that decide, with reports and clocks made by hand: deadlines, first cause,
// ladder, coordinator.
#include <gmock/gmock.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "launch/agent/cause.h"
#include "launch/agent/coordinator.h"
#include "launch/agent/deadlines.h"
#include "launch/agent/failure_file.h"
#include "launch/agent/ladder.h"
#include "launch/agent/rank_processes.h"
#include "tests/util/message_of.h"
#include "tests/util/program.h"
#include "tests/util/temp_dir.h"

namespace vesalius::launch {
namespace {

using page::Section;
using testing::HasSubstr;

RankView Rank(int rank, Section section, double inside) {
  RankView view;
  view.rank = rank;
  view.host = "host";
  view.pid = 100 + rank;
  view.opened = true;
  view.inside.fill(-1);
  view.inside[static_cast<int>(section)] = inside;
  view.step = 7;
  view.steps = 3;
  return view;
}

RankView Ended(int rank, int signal, int code, double ago) {
  RankView view = Rank(rank, Section::kStep, 0.1);
  view.ended = true;
  view.signal = signal;
  view.code = code;
  view.ended_for = ago;
  return view;
}

TEST(DeadlinesTest, AreFloorsThenFiveTimesTheLongestThenWhatWasGiven) {
  Deadlines deadlines({"eval=7"});
  EXPECT_EQ(deadlines.Limit(Section::kStep), 60);
  EXPECT_EQ(deadlines.Limit(Section::kEval), 7);
  RankView seen = Rank(0, Section::kStep, 0);
  seen.longest[static_cast<int>(Section::kStep)] = 100;
  seen.longest[static_cast<int>(Section::kEval)] = 100;
  deadlines.Learn(seen);
  EXPECT_EQ(deadlines.Limit(Section::kStep), 500);
  EXPECT_EQ(deadlines.Limit(Section::kWarmUp), 1000) << "ten times a step";
  EXPECT_EQ(deadlines.Limit(Section::kEval), 7);
  const TempDir dir;
  deadlines.Save(dir.path() + "/deadlines.json");
  Deadlines next({});
  next.Load(dir.path() + "/deadlines.json");
  EXPECT_EQ(next.Limit(Section::kStep), 500) << "outlives the agent";
  WriteFileAtomic(dir.path() + "/deadlines.json", "{\"step\": \"dam");
  Deadlines fresh({});
  fresh.Load(dir.path() + "/deadlines.json");
  EXPECT_EQ(fresh.Limit(Section::kStep), 60);
}

TEST(DeadlinesTest, RefuseWhatIsNoSectionOrNoTime) {
  for (const char* text : {"stp=5", "step", "step=0", "step=-1"})
    EXPECT_THAT(MessageOf(ExitCode::kUsage, [&] { Deadlines({text}); }), HasSubstr("SECTION"));
}

TEST(CauseTest, AllIsWellWithinDeadlines) {
  EXPECT_FALSE(FindCause({Rank(0, Section::kStep, 1), Rank(1, Section::kStep, 59)}, Deadlines({})));
}

TEST(CauseTest, AKilledRankNotTheOneThatMissesItIsTheCause) {
  const auto cause = FindCause({Ended(0, 0, 80, 0.4), Ended(1, SIGKILL, 0, 0.1)}, Deadlines({}));
  ASSERT_TRUE(cause);
  EXPECT_EQ(cause->rank, 1);
  EXPECT_EQ(cause->signal, SIGKILL);
  EXPECT_THAT(cause->Line(), HasSubstr("rank 1 on host was ended by signal 9 (Killed)"));
}

TEST(CauseTest, ALostPeerAloneWaitsForItsCauseToBeSeen) {
  EXPECT_FALSE(FindCause({Ended(0, 0, 80, 0.1), Rank(1, Section::kStep, 1)}, Deadlines({})));
  EXPECT_TRUE(FindCause({Ended(0, 0, 80, 0.6), Rank(1, Section::kStep, 1)}, Deadlines({})));
}

TEST(CauseTest, RanksThatWeKilledAreNever) {
  RankView ours = Ended(0, SIGKILL, 0, 5);
  ours.by_us = true;
  const auto cause = FindCause({ours, Ended(1, SIGSEGV, 0, 0.2)}, Deadlines({}));
  ASSERT_TRUE(cause);
  EXPECT_EQ(cause->rank, 1);
}

TEST(CauseTest, OfTwoThatFailTheFirstIs) {
  RankView a = Ended(0, 0, 70, 0.2), b = Ended(1, 0, 65, 0.9);
  a.error = "later";
  b.error = "first";
  EXPECT_EQ(FindCause({a, b}, Deadlines({}))->message, "first");
}

TEST(CauseTest, OfAnErrorThatAllTellTheRankWhereItHappenedIs) {
  RankView a = Ended(0, 0, 77, 0.1), b = Ended(1, 0, 77, 0.2);
  a.error = b.error = "the checkpoint of step 7 was not saved, rank 0: no space left";
  EXPECT_FALSE(FindCause({Rank(0, Section::kWrite, 1), b}, Deadlines({}))) << "rank 0 ends as well";
  EXPECT_EQ(FindCause({a, b}, Deadlines({}))->rank, 0);
  a.error = b.error = "the checkpoint of step 7 was not saved, rank 1: no space left";
  EXPECT_EQ(FindCause({a, b}, Deadlines({}))->rank, 1);
  b.error = "";
  EXPECT_EQ(FindCause({a, b}, Deadlines({}))->message, a.error) << "only rank 0 has the words";
}

TEST(CauseTest, ARankThatSaysNothingIsTheCauseOfOnesThatLostIt) {
  RankView a = Ended(0, 0, 80, 0.1), b = Ended(1, 0, 3, 0.2);
  a.error = "all-gather 'batch.counts' (call 34): rank 1 (process 9 on host) died";
  EXPECT_FALSE(FindCause({a, b}, Deadlines({}))) << "both may be consequences of a third's end";
  b.ended_for = 1;
  EXPECT_EQ(FindCause({a, b}, Deadlines({}))->rank, 1);
}

TEST(CauseTest, AHangIsTheRankThatTheOthersWaitFor) {
  RankView waits = Rank(0, Section::kStep, 61), hangs = Rank(1, Section::kStep, 60.5);
  waits.issued = waits.waiting = 41;
  waits.waiting_name = "gradient bucket 0";
  hangs.issued = 40;
  hangs.issued_name = "features";
  const auto cause = FindCause({waits, hangs}, Deadlines({}));
  ASSERT_TRUE(cause);
  EXPECT_EQ(cause->kind, Cause::kHang);
  EXPECT_EQ(cause->rank, 1);
  EXPECT_EQ(cause->number, 41U);
  EXPECT_EQ(cause->collective, "gradient bucket 0");
  EXPECT_THAT(cause->Line(), HasSubstr("rank 1 on host hangs in section step after step 7"));
}

TEST(CauseTest, OfRanksThatAllWaitTheStoppedOneHangs) {
  RankView a = Rank(0, Section::kStep, 70), b = Rank(1, Section::kStep, 70);
  a.issued = b.issued = a.waiting = b.waiting = 41;
  b.stopped = true;
  EXPECT_EQ(FindCause({a, b}, Deadlines({}))->rank, 1);
}

Cause Dead(int rank = 1) {
  Cause cause;
  cause.kind = Cause::kDied;
  cause.rank = rank;
  cause.signal = SIGKILL;
  cause.node = "a";
  return cause;
}

Cause Failed(ExitCode code, const std::string& message = "m") {
  Cause cause;
  cause.kind = Cause::kFailed;
  cause.rank = 0;
  cause.code = static_cast<int>(code);
  cause.message = message;
  return cause;
}

TEST(LadderTest, RestartsAtOnceWhileStepsAreGained) {
  Ladder ladder;
  for (int i = 0; i < 20; ++i) {
    const Decision decision = ladder.After({Dead(), true, true}, 0);
    EXPECT_TRUE(decision.again);
    EXPECT_EQ(decision.wait, 0);
  }
}

TEST(LadderTest, BacksOffWhereNoStepIsGained) {
  Ladder ladder;
  EXPECT_EQ(ladder.After({Dead(), false, true}, 0).wait, 1);
  EXPECT_EQ(ladder.After({Dead(), false, true}, 0).wait, 2);
  for (int i = 0; i < 10; ++i) ladder.After({Dead(), false, true}, 0);
  EXPECT_EQ(ladder.After({Dead(), false, true}, 0).wait, 60);
  EXPECT_EQ(ladder.After({Dead(), true, true}, 0).wait, 0);
}

TEST(LadderTest, GivesUpAfterThreeAttemptsWithoutACommit) {
  Ladder ladder;
  EXPECT_TRUE(ladder.After({Dead(), true, false}, 0).again);
  EXPECT_TRUE(ladder.After({Dead(), true, false}, 0).again);
  EXPECT_TRUE(ladder.After({Dead(), true, true}, 0).again) << "a commit begins a new count";
  EXPECT_TRUE(ladder.After({Dead(), true, false}, 0).again);
  EXPECT_TRUE(ladder.After({Dead(), true, false, true}, 0).again) << "so does state in memory";
  EXPECT_TRUE(ladder.After({Dead(), true, false}, 0).again);
  EXPECT_EQ(ladder.After({Dead(), true, false}, 0).code, 93);
}

TEST(LadderTest, NeverRepeatsWhatCannotHelp) {
  for (const ExitCode code : {ExitCode::kConfig, ExitCode::kUsage, ExitCode::kInputMissing,
                              ExitCode::kFenced, ExitCode::kNumericalStop}) {
    const Decision decision = Ladder().After({Failed(code), true, true}, 3);
    EXPECT_FALSE(decision.again);
    EXPECT_EQ(decision.code, static_cast<int>(code));
  }
}

TEST(LadderTest, TheSameRecordTwiceIsTheEnd) {
  Ladder ladder;
  EXPECT_TRUE(ladder.After({Failed(ExitCode::kInvalidData, "a"), true, true}, 0).again);
  EXPECT_TRUE(ladder.After({Failed(ExitCode::kInvalidData, "b"), true, true}, 0).again);
  EXPECT_EQ(ladder.After({Failed(ExitCode::kInvalidData, "a"), true, true}, 0).code, 65);
}

TEST(LadderTest, LaunchesAgainTwiceInSilence) {
  Ladder ladder;
  Cause cause = Failed(ExitCode::kBug);
  cause.kind = Cause::kLaunch;
  EXPECT_TRUE(ladder.After({cause}, 0).again);
  EXPECT_TRUE(ladder.After({cause}, 0).again);
  EXPECT_EQ(ladder.After({cause}, 0).code, 79);
}

TEST(LadderTest, ReplacesANodeWhereASpareIs) {
  Cause cause;
  cause.kind = Cause::kNodeLost;
  cause.node = "b";
  Ladder ladder;
  EXPECT_EQ(ladder.After({cause, true, true}, 1).drop_node, "b");
  EXPECT_EQ(ladder.After({cause, true, true}, 0).code, 80);
  cause.kind = Cause::kUnhealthy;
  EXPECT_EQ(ladder.After({cause, true, true}, 0).code, 79);
  EXPECT_EQ(ladder.After({Dead(), true, true}, 1).drop_node, "");
  EXPECT_EQ(ladder.After({Dead(), true, true}, 1).drop_node, "a") << "twice in a row on one node";
}

// Agents of a made-up cluster, each with one rank, that carry out orders at once.
class Cluster {
 public:
  Cluster(int nodes, int spares, bool agreement = true) : options_(), deadlines_({}) {
    options_.agreement = agreement;
    options_.ranks = options_.nodes = nodes;
    options_.spares = spares;
    Observer observer;
    observer.failed = [this](int, const Cause& cause, const std::vector<RankView>&,
                             const Decision& decision) {
      causes.push_back(cause);
      decisions.push_back(decision);
    };
    observer.slow = [this](const RankView& rank, const std::string& phase, double) {
      slow.push_back(StrCat(rank.rank, " ", phase));
    };
    coordinator = std::make_unique<Coordinator>(options_, deadlines_, observer, now);
    for (int n = 0; n < nodes + spares; ++n) names_.push_back(StrCat("n", n));
  }

  // Ten rounds a second.
  void Pass(double seconds) {
    for (const double end = now + seconds; now < end; now += 0.1) {
      for (std::size_t n = 0; n < names_.size(); ++n)
        if (silent.count(names_[n]) == 0) Turn(static_cast<int>(n));
      coordinator->Tick(now);
    }
  }
  std::vector<std::string> Running() const {
    std::vector<std::string> found;
    for (const std::string& name : names_)
      if (silent.count(name) == 0 && coordinator->OrderFor(name).duty == Duty::kRun)
        found.push_back(name);
    return found;
  }

  double now = 1000;
  std::set<std::string> silent;
  std::map<int, RankView> ranks;  // what they report instead of stepping along
  std::set<std::string> slow_to_stop;
  std::string launcher;  // how it failed
  int launcher_code = 0;
  bool save = false;  // the agents were signalled
  std::unique_ptr<Coordinator> coordinator;
  std::vector<Cause> causes;
  std::vector<Decision> decisions;
  std::vector<std::string> slow;

 private:
  void Turn(int n) {
    const Order order = coordinator->OrderFor(names_[n]);
    Report report;
    report.number = n;
    report.node = names_[n];
    report.attempt = order.attempt;
    report.done = order.duty;
    report.save = save;
    if (order.duty == Duty::kRun) {
      report.launcher = launcher;
      report.launcher_code = launcher_code;
    }
    if (order.duty == Duty::kStop && slow_to_stop.count(names_[n]) > 0) report.done = Duty::kRun;
    if (order.duty == Duty::kRun) {
      const auto made = ranks.find(order.first_rank);
      report.ranks = {made == ranks.end() ? Rank(order.first_rank, Section::kStep, 0.1)
                                          : made->second};
    }
    coordinator->Receive(report, now);
  }

  CoordinatorOptions options_;
  Deadlines deadlines_;
  std::vector<std::string> names_;
};

TEST(CoordinatorTest, StartsTheFirstNodesAndKeepsSparesIdle) {
  Cluster cluster(2, 1);
  cluster.Pass(1);
  EXPECT_THAT(cluster.Running(), testing::ElementsAre("n0", "n1"));
  EXPECT_EQ(cluster.coordinator->OrderFor("n2").duty, Duty::kIdle);
}

TEST(CoordinatorTest, EndsWithTheRanks) {
  Cluster cluster(2, 0);
  cluster.Pass(1);
  cluster.ranks = {{0, Ended(0, 0, 75, 0)}, {1, Ended(1, 0, 0, 0)}};
  cluster.Pass(1);
  EXPECT_EQ(cluster.coordinator->Done(), 75);
}

TEST(CoordinatorTest, ReplacesALostNodeWithinSeconds) {
  Cluster cluster(2, 1);
  cluster.Pass(1);
  cluster.silent = {"n1"};
  cluster.Pass(7);
  EXPECT_THAT(cluster.Running(), testing::ElementsAre("n0", "n2"));
  ASSERT_EQ(cluster.causes.size(), 1U);
  EXPECT_EQ(cluster.causes[0].kind, Cause::kNodeLost);
  cluster.silent.clear();  // it was only asleep
  EXPECT_EQ(cluster.coordinator->OrderFor("n1").duty, Duty::kStop);
  cluster.Pass(1);
  EXPECT_THAT(cluster.Running(), testing::ElementsAre("n0", "n2"));
  // An end of its own before, or with another code, would be the whole job's.
  cluster.ranks = {{0, Ended(0, 0, 0, 0)}, {1, Ended(1, 0, 0, 0)}};
  cluster.Pass(0.5);
  EXPECT_EQ(cluster.coordinator->OrderFor("n1").duty, Duty::kLeave);
  EXPECT_EQ(cluster.coordinator->OrderFor("n1").exit_code, 0);
  EXPECT_EQ(cluster.coordinator->Done(), 0);
}

TEST(CoordinatorTest, ANodeWhoseRanksCannotBeKilledIsLeftOut) {
  Cluster cluster(2, 1);
  cluster.Pass(1);
  cluster.ranks = {{1, Ended(1, SIGKILL, 0, 0)}};
  cluster.slow_to_stop = {"n1"};
  cluster.Pass(30);
  EXPECT_TRUE(cluster.Running().empty());
  cluster.ranks.clear();
  cluster.Pass(40);
  EXPECT_THAT(cluster.Running(), testing::ElementsAre("n0", "n2"));
}

TEST(CoordinatorTest, ARankThatLeftBecauseOfALostNodeIsNotTheCause) {
  Cluster cluster(2, 1);
  cluster.Pass(1);
  cluster.silent = {"n1"};
  cluster.Pass(1);
  cluster.ranks = {{0, Ended(0, 0, 80, 1)}};
  cluster.Pass(3);
  EXPECT_TRUE(cluster.causes.empty()) << "too early to say";
  cluster.Pass(3);
  ASSERT_FALSE(cluster.causes.empty());
  EXPECT_EQ(cluster.causes[0].kind, Cause::kNodeLost);
  EXPECT_EQ(cluster.causes[0].node, "n1");
}

TEST(CoordinatorTest, LeavesForSlurmWhereNoSpareIs) {
  Cluster cluster(2, 0);
  cluster.Pass(1);
  cluster.silent = {"n1"};
  cluster.Pass(12);
  EXPECT_EQ(cluster.coordinator->Done(), 80);
}

// The attempt that a cluster is at whose second node has not stopped its ranks yet.
int AttemptWhileRanksLive(Cluster& cluster) {
  cluster.Pass(1);
  cluster.ranks = {{1, Ended(1, SIGKILL, 0, 0)}};
  cluster.slow_to_stop = {"n1"};
  cluster.Pass(3);
  return cluster.coordinator->attempt();
}

TEST(CoordinatorTest, StartsNothingBeforeAllOldRanksAreGone) {
  Cluster hasty(2, 0, /*agreement=*/false);
  EXPECT_GT(AttemptWhileRanksLive(hasty), 1) << "with the agreement taken away this must show";
  Cluster cluster(2, 0);
  EXPECT_EQ(AttemptWhileRanksLive(cluster), 1);
  EXPECT_EQ(cluster.coordinator->OrderFor("n0").duty, Duty::kStop);
  cluster.ranks.clear();
  cluster.slow_to_stop.clear();
  cluster.Pass(1);
  EXPECT_EQ(cluster.coordinator->attempt(), 2);
  EXPECT_EQ(cluster.Running().size(), 2U);
}

TEST(CoordinatorTest, AsksForASaveThenLeavesWithoutANewAttempt) {
  Cluster cluster(1, 0);
  cluster.Pass(1);
  Report signalled;
  signalled.node = "n0";
  signalled.attempt = 1;
  signalled.done = Duty::kRun;
  signalled.save = true;
  signalled.ranks = {Rank(0, Section::kStep, 0.1)};
  cluster.coordinator->Receive(signalled, cluster.now);
  EXPECT_TRUE(cluster.coordinator->OrderFor("n0").save);
  cluster.ranks = {{0, Ended(0, SIGKILL, 0, 0)}};
  cluster.Pass(2);
  EXPECT_EQ(cluster.coordinator->Done(), 75);
}

TEST(CoordinatorTest, ARequestedSaveThatFailsIsToldByTheExitCode) {
  Cluster cluster(1, 0);
  cluster.Pass(1);
  cluster.save = true;
  cluster.ranks = {{0, Ended(0, 0, 77, 0)}};
  cluster.Pass(2);
  EXPECT_EQ(cluster.coordinator->Done(), 77);
}

TEST(CoordinatorTest, ALauncherThatDiesAfterStepsIsAFailedAttempt) {
  Cluster cluster(1, 0);
  cluster.Pass(1);
  cluster.launcher = "the launcher was ended by signal 9";
  cluster.launcher_code = 128 + SIGKILL;
  cluster.Pass(2);
  ASSERT_FALSE(cluster.causes.empty());
  EXPECT_EQ(cluster.causes[0].kind, Cause::kFailed);
  EXPECT_EQ(cluster.causes[0].Line(), "node n0: the launcher was ended by signal 9");
  EXPECT_EQ(cluster.decisions[0].wait, 0) << "as after other failures behind a step";
}

TEST(CoordinatorTest, ALauncherThatDiesBeforeTheFirstStepIsAFailedLaunch) {
  Cluster cluster(1, 0);
  RankView loading = Rank(0, Section::kInit, 1);
  loading.step = -1;
  loading.steps = 0;
  cluster.ranks = {{0, loading}};
  cluster.launcher = "the launcher was ended by signal 9";
  cluster.launcher_code = 128 + SIGKILL;
  cluster.Pass(2);
  ASSERT_FALSE(cluster.causes.empty());
  EXPECT_EQ(cluster.causes[0].kind, Cause::kLaunch);
}

// F35: only the monotonic clock that it is given counts; there is none other it could read.
TEST(CoordinatorTest, F35_NoDeathWhileReportsComeHoweverTheWallClockJumps) {
  Cluster cluster(2, 0);
  cluster.Pass(120);
  EXPECT_TRUE(cluster.causes.empty());
  EXPECT_EQ(cluster.coordinator->attempt(), 1);
}

TEST(CoordinatorTest, FlagsASlowRankAndGoesOn) {
  Cluster cluster(2, 0);
  cluster.Pass(1);
  for (int window = 1; window <= 4; ++window) {
    for (int rank = 0; rank < 2; ++rank) {
      RankView view = Rank(rank, Section::kStep, 0.1);
      view.steps = 101 * window;
      view.phases = {0.01, rank == 1 ? 0.02 : 0.01, 0.01};
      cluster.ranks[rank] = view;
    }
    cluster.Pass(0.3);
    EXPECT_EQ(cluster.slow.size(), window < 3 ? 0U : 1U) << window;
  }
  EXPECT_EQ(cluster.slow[0], "1 forward");
  EXPECT_TRUE(cluster.causes.empty());
}

TEST(RankProcessesTest, SrunTakesNothingFromTheAgentsOwnStep) {
  const TempDir dir;
  const std::string path = std::getenv("PATH");
  MakeDirs(dir.path() + "/bin");
  WriteFileAtomic(dir.path() + "/bin/srun", "#!/bin/sh\nenv > " + dir.path() + "/new && mv " +
                                                dir.path() + "/new " + dir.path() + "/env\n");
  std::filesystem::permissions(dir.path() + "/bin/srun", std::filesystem::perms::owner_all);
  ::setenv("PATH", (dir.path() + "/bin:" + path).c_str(), 1);
  for (const char* name : {"SLURM_CPU_BIND", "SLURM_CPU_BIND_TYPE", "SLURM_NTASKS"})
    ::setenv(name, "agent's", 1);
  ::setenv("SLURM_JOB_ID", "7", 1);
  Order order;
  order.ranks = order.world = 1;
  order.launches = true;
  order.nodes = {"n1"};
  RankProcesses processes(dir.path() + "/run", "n1", order);
  processes.Start({{"true"}, Starter::kSrun});
  EXPECT_TRUE(WaitUntil([&] { return Exists(dir.path() + "/env"); }, 10));
  const std::string environment = ReadFile(dir.path() + "/env");
  EXPECT_THAT(environment, HasSubstr("SLURM_JOB_ID=7\n"));
  EXPECT_THAT(environment, testing::Not(HasSubstr("agent's")));
  ::setenv("PATH", path.c_str(), 1);
  ::unsetenv("SLURM_JOB_ID");
}

TEST(FailureFileTest, WordsThatAreNoTextAreToldAllTheSame) {
  const TempDir dir;
  Cause cause;
  cause.message = "cannot read /data/r\xf6ntgen";
  WriteFailure(dir.path(), "r/1/1", 1, cause, {}, {});
  const auto failure = nlohmann::json::parse(ReadFile(dir.path() + "/failure.json"));
  EXPECT_THAT(failure.at("cause").at("message").get<std::string>(), HasSubstr("cannot read /data"));
}

}  // namespace
}  // namespace vesalius::launch
