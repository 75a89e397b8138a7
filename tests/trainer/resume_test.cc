// A run that was stopped and goes on is the run that was never stopped: bit for bit at the same
// world size, sample for sample at another. And what must not matter does not: how many ranks, in
// how many slices, buckets or loader threads.
#include <gmock/gmock.h>

#include "record/events.h"
#include "tests/trainer/training.h"

namespace vesalius::trainer {
namespace {

using testing::HasSubstr;

constexpr int kSteps = 30;

const Training& Data() {
  static const Training training;
  return training;
}

void StopAt(const std::string& run, const Launch& launch, int step, int rank, int signal) {
  StopTraining(Data(), run, launch, Steps(kSteps), step, rank, signal);
}

void ExpectSameRun(const std::string& run, const std::string& expected) {
  ExpectSameMetrics(Data().run(run), Data().run(expected));
  EXPECT_EQ(ParametersDigest(Data().run(run)), ParametersDigest(Data().run(expected)));
}

void ExpectResumeChangesNothing(const std::string& name, const Launch& launch, int signal) {
  const std::string whole = name + "-whole", parts = name + "-parts";
  Outcome outcome = Data().Run(whole, launch, Steps(kSteps));
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  const int last_rank = std::max(launch.mpi, 1) - 1;  // not the one that decides
  StopAt(parts, launch, 2, last_rank, signal);        // within the first stage
  StopAt(parts, launch, 12, 0, SIGTERM);              // past the change to the second
  outcome = Data().Run(parts, launch, Steps(kSteps));
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("resumed from"));
  ASSERT_EQ(Metrics(Data().run(whole)).size(), std::size_t{kSteps});
  EXPECT_EQ(Metrics(Data().run(whole)).front()["stage"], 1);
  EXPECT_EQ(Metrics(Data().run(whole)).back()["stage"], 3) << "no change of stage was crossed";
  ExpectSameRun(parts, whole);
}

TEST(ResumeTest, AloneIsBitIdentical) { ExpectResumeChangesNothing("alone", kAlone, SIGUSR1); }

TEST(ResumeTest, OfLocalRanksIsBitIdentical) {
  ExpectResumeChangesNothing("local", kTwoLocal, SIGUSR2);
}

TEST(ResumeTest, UnderMpiIsBitIdentical) { ExpectResumeChangesNothing("mpi", kTwoMpi, SIGTERM); }

TEST(ResumeTest, AtAnotherWorldSizeIsSampleExact) {
  Outcome outcome = Data().Run("two", kTwoLocal, Steps(kSteps));
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  StopAt("two-then-three", kTwoLocal, 5, 0, SIGTERM);
  const std::size_t stopped = Metrics(Data().run("two-then-three")).size();
  ASSERT_LT(stopped, std::size_t{kSteps});
  outcome = Data().Run("two-then-three", kThreeLocal, Steps(kSteps));
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  ExpectNearMetrics(Data().run("two-then-three"), Data().run("two"), 1e-4);
}

// A stop comes before the evaluation of its step, a death at the last save before that of the run.
TEST(ResumeTest, EachEvaluationIsMadeOnce) {
  const std::string more = Steps(6) + "--set trainer.eval_every=1 ";
  const auto evaluations = [](const std::string& run) {
    return Split(ReadFile(Data().run(run) + "/evals.jsonl"), '\n');
  };
  ASSERT_EQ(Data().Run("evaluated", kAlone, more).status, 0);
  ASSERT_EQ(evaluations("evaluated").size(), std::size_t{7});
  StopTraining(Data(), "late", kAlone, more, 2, 0, SIGTERM);
  EXPECT_EQ(evaluations("late").size(), Metrics(Data().run("late")).size());
  ASSERT_EQ(Data().Run("late", kAlone, more + "--fault kill-committed@6:0").status, 128 + SIGKILL);
  EXPECT_EQ(evaluations("late").size(), std::size_t{6});
  for (int start = 0; start < 2; ++start) {
    const Outcome outcome = Data().Run("late", kAlone, more);
    ASSERT_EQ(outcome.status, 0) << outcome.output;
    EXPECT_EQ(evaluations("late"), evaluations("evaluated")) << "at start " << start;
  }
  EXPECT_FALSE(Exists(Data().run("late") + "/evaluating"));
  ExpectSameRun("late", "evaluated");
  // Where another run goes on from it, the step that it had is not evaluated.
  ASSERT_EQ(Data()
                .Run("after", kAlone,
                     StrCat(Steps(7), "--set trainer.eval_every=1 --resume ", Data().run("late")))
                .status,
            0);
  EXPECT_THAT(evaluations("after")[0], HasSubstr("\"step\":7,"));
}

TEST(ResumeTest, AnEvaluationThatEndsTheRunIsLeftOutInTheEnd) {
  const std::string more = Steps(6) + "--set trainer.eval_every=6 ";
  ASSERT_EQ(Data().Run("deadly", kAlone, more + "--fault kill-committed@6:0").status,
            128 + SIGKILL);
  WriteFileAtomic(Data().run("deadly") + "/evaluating", "6 2\n");
  const Outcome outcome = Data().Run("deadly", kAlone, more);
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.output, HasSubstr("within the evaluation of step 6"));
  EXPECT_EQ(Shell("cat " + Data().run("deadly") + "/evals.jsonl").output.find("{"),
            std::string::npos);
}

// The other ranks wait for the figures within the evaluation, not in the next step.
TEST(ResumeTest, AnEvaluationEndsOnAllRanksTogether) {
  ASSERT_EQ(Data().Run("together", kTwoLocal, Steps(4) + "--set trainer.eval_every=2").status, 0);
  std::map<std::int64_t, double> known;  // by step: when rank 0 had the figures
  int waited = 0;
  const record::Events events = record::ReadEvents(Data().run("together"));
  for (const record::Event& event : events.all)
    if (event.kind == "scalar" && event.name.starts_with("eval.")) known[event.step] = event.t;
  for (const record::Event& event : events.all) {
    if (event.kind != "span" || event.name != "eval" || event.rank != 1) continue;
    EXPECT_GE(event.end(), known.at(event.step)) << "step " << event.step;
    ++waited;
  }
  EXPECT_EQ(waited, 2);
}

TEST(SameRunTest, WhateverTheRanks) {
  ASSERT_EQ(Data().Run("ranks-1", kAlone, Steps(5)).status, 0);
  ASSERT_EQ(Data().Run("ranks-3", kThreeLocal, Steps(5)).status, 0);
  ASSERT_EQ(Data().Run("ranks-2", kTwoMpi, Steps(5)).status, 0);
  EXPECT_EQ(Metrics(Data().run("ranks-1")).back()["samples"], 40);
  ExpectNearMetrics(Data().run("ranks-3"), Data().run("ranks-1"), 1e-5);
  ExpectNearMetrics(Data().run("ranks-2"), Data().run("ranks-1"), 1e-5);
}

TEST(SameRunTest, WhateverTheSlices) {
  ASSERT_EQ(Data().Run("slices-1", kTwoLocal, Steps(5)).status, 0);
  for (const int slices : {2, 3}) {
    const std::string name = StrCat("slices-", slices);
    const Outcome outcome =
        Data().Run(name, kTwoLocal, StrCat(Steps(5), "--set trainer.accumulate=", slices));
    ASSERT_EQ(outcome.status, 0) << outcome.output;
    ExpectNearMetrics(Data().run(name), Data().run("slices-1"), 1e-5);
  }
}

// Every loss at once, in float64: reports, colour channels, slices, and ranks.
TEST(SameRunTest, WhateverTheSlicesWithReportsInFloat64) {
  const std::string all = StrCat(Steps(4), "--set loss.pair=0.5 --set data.report_length=32 ",
                                 "--set model.channels=3 --set trainer.precision=float64 ",
                                 "--set trainer.stage1=0 --set trainer.stage2=0.25 ");
  ASSERT_EQ(Data().Run("all-1", kAlone, all).status, 0);
  const Outcome outcome = Data().Run("all-3", kTwoLocal, all + "--set trainer.accumulate=3");
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  ExpectNearMetrics(Data().run("all-3"), Data().run("all-1"), 1e-9);
}

TEST(SameRunTest, WhateverBucketsAndLoaderThreads) {
  ASSERT_EQ(Data().Run("plain", kTwoLocal, Steps(8)).status, 0);
  const std::map<std::string, std::string> settings = {
      {"small-buckets", "--set dist.bucket_bytes=4096"},
      {"large-buckets", "--set dist.bucket_bytes=1073741824"},
      {"no-workers", "--set data.workers=0"},
      {"three-workers", "--set data.workers=3"}};
  for (const auto& [name, setting] : settings) {
    const Outcome outcome = Data().Run(name, kTwoLocal, Steps(8) + setting);
    ASSERT_EQ(outcome.status, 0) << outcome.output;
    ExpectSameRun(name, "plain");
  }
}

TEST(SameRunTest, ButNotWhateverTheSeed) {
  ASSERT_EQ(Data().Run("seed-1", kAlone, Steps(2)).status, 0);
  ASSERT_EQ(Data().Run("seed-2", kAlone, Steps(2) + "--set seed=2").status, 0);
  EXPECT_NE(TimelessMetrics(Data().run("seed-1")), TimelessMetrics(Data().run("seed-2")));
  EXPECT_NE(ParametersDigest(Data().run("seed-1")), ParametersDigest(Data().run("seed-2")));
}

}  // namespace
}  // namespace vesalius::trainer
