// trainer.slices: parameters and losses are the same bits at every number of ranks, also when it
// changes along the way, and close to those of a run without slices.
#include <gmock/gmock.h>

#include "tests/trainer/training.h"

namespace vesalius::trainer {
namespace {

using testing::HasSubstr;

constexpr int kSteps = 30;
const std::string kPair = "--set loss.pair=1 --set data.report_length=24 ";
const std::string kSlices = kPair + "--set trainer.slices=8 ";

const Training& Data() {
  static const Training training;
  return training;
}

void Finish(const std::string& run, const Launch& launch, const std::string& more) {
  const Outcome outcome = Data().Run(run, launch, Steps(kSteps) + more);
  ASSERT_EQ(outcome.status, 0) << outcome.output;
}

void ExpectSameBits(const std::string& run, const std::string& expected) {
  ExpectSameMetrics(Data().run(run), Data().run(expected));
  EXPECT_EQ(ParametersDigest(Data().run(run)), ParametersDigest(Data().run(expected))) << run;
}

TEST(FixedSlices, NumberOfRanksChangesNoBit) {
  Finish("one", kAlone, kSlices);
  ASSERT_FALSE(HasFailure());
  EXPECT_EQ(Metrics(Data().run("one")).back()["stage"], 3);
  for (const int ranks : {2, 3, 8}) {
    const std::string run = StrCat("local-", ranks);
    Finish(run, {0, ranks}, kSlices);
    ExpectSameBits(run, "one");
  }
  Finish("mpi-2", kTwoMpi, kSlices);
  ExpectSameBits("mpi-2", "one");
  Finish("zero1", {0, 3}, kSlices + "--set dist.exchange=zero1 ");
  ExpectSameBits("zero1", "one");
}

TEST(FixedSlices, NorDoRestartsAtOtherNumbersOfRanks) {
  Finish("whole", {0, 2}, kSlices);
  int step = 0;
  for (const int ranks : {4, 3, 8, 1})
    StopTraining(Data(), "parts", {0, ranks}, Steps(kSteps) + kSlices, step += 3, 0, SIGTERM);
  Finish("parts", {0, 2}, kSlices);
  ExpectSameBits("parts", "whole");
}

// The epoch ends with one sample of 49: three slices of four have none.
TEST(FixedSlices, AStepMayHaveOneSample) {
  const Training training(56);
  for (const Launch& launch : {kAlone, kThreeLocal}) {
    const std::string run = StrCat("tail-", launch.local);
    const Outcome outcome =
        training.Run(run, launch, Steps(8) + "--set trainer.slices=4 --set data.tail=short");
    ASSERT_EQ(outcome.status, 0) << outcome.output;
    EXPECT_EQ(Metrics(training.run(run))[6].at("samples"), 49);
  }
  EXPECT_EQ(ParametersDigest(training.run("tail-0")), ParametersDigest(training.run("tail-3")));
}

// Reports are the only texts, and the epoch ends with three samples of 51: of eight slices the last
// five, those of rank 1 of two among them, are padding.
TEST(FixedSlices, ARankMayHaveNoTexts) {
  const Training training(58);
  const std::string reports =
      "--set trainer.slices=8 --set data.tail=pad --set data.report_length=24 --set loss.pair=1 "
      "--set loss.global=0 --set loss.fine=0 --set watch.replica_every=1";
  for (const Launch& launch : {kAlone, kTwoLocal, kThreeLocal}) {
    const std::string run = StrCat("texts-", launch.local);
    const Outcome outcome = training.Run(run, launch, Steps(8) + reports);
    ASSERT_EQ(outcome.status, 0) << outcome.output;
    EXPECT_EQ(Metrics(training.run(run))[6].at("samples"), 51);
    ExpectSameMetrics(training.run(run), training.run("texts-0"));
    EXPECT_EQ(ParametersDigest(training.run(run)), ParametersDigest(training.run("texts-0")));
  }
}

// What the bits would be without: the test above can fail.
TEST(FixedSlices, WithoutThemTheNumberOfRanksShows) {
  Finish("plain-1", kAlone, kPair);
  Finish("plain-3", kThreeLocal, kPair);
  EXPECT_NE(ParametersDigest(Data().run("plain-1")), ParametersDigest(Data().run("plain-3")));
  Finish("sliced", kAlone, kSlices);
  ASSERT_FALSE(HasFailure());
  const auto plain = Metrics(Data().run("plain-1")), sliced = Metrics(Data().run("sliced"));
  for (int step = 0; step < 3; ++step)
    EXPECT_NEAR(sliced[step]["loss"], plain[step]["loss"], 1e-4) << step;
}

TEST(FixedSlices, RefusesWhatCannotBe) {
  Outcome outcome = Data().Run("many", {0, 3}, "--set trainer.slices=2");
  EXPECT_EQ(outcome.status, 78);
  EXPECT_THAT(outcome.output,
              HasSubstr("trainer.slices = 2 gives work to that many ranks at most"));
  outcome = Data().Run("odd", kAlone, "--set trainer.slices=3");
  EXPECT_EQ(outcome.status, 78);
  EXPECT_THAT(outcome.output, HasSubstr("must be a multiple of trainer.slices = 3"));
  outcome = Data().Run("both", kAlone, "--set trainer.slices=2 --set trainer.accumulate=2");
  EXPECT_EQ(outcome.status, 78);
}

}  // namespace
}  // namespace vesalius::trainer
