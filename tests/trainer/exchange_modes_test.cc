// How gradients are exchanged and who keeps the optimiser's state must not matter to a training:
// same losses, same checkpoints, and any mode goes on from any other's checkpoint at any world
// size.
#include <gmock/gmock.h>

#include "tests/trainer/training.h"

namespace vesalius::trainer {
namespace {

const Training& Data() {
  static const Training training;
  return training;
}

std::string Mode(const std::string& mode) { return "--set dist.exchange=" + mode + " "; }

void Train(const std::string& run, const Launch& launch, const std::string& more) {
  const Outcome outcome = Data().Run(run, launch, more);
  ASSERT_EQ(outcome.status, 0) << outcome.output;
}

void ExpectSameRun(const std::string& run, const std::string& expected) {
  ExpectSameMetrics(Data().run(run), Data().run(expected));
  EXPECT_EQ(ParametersDigest(Data().run(run)), ParametersDigest(Data().run(expected)));
}

void ExpectNear(const Json& a, const Json& b, const std::string& key, double tolerance) {
  const double value = b.at(key);
  EXPECT_NEAR(a.at(key).get<double>(), value, tolerance * std::abs(value))
      << key << " of step " << b.at("step");
}

TEST(ExchangeModes, SameBitsAtTheSameWorldSize) {
  for (const auto& [name, launch] :
       {std::pair{"1", kAlone}, std::pair{"2", kTwoMpi}, std::pair{"3", kThreeLocal}}) {
    const std::string plain = StrCat("plain-", name);
    Train(plain, launch, Steps(20));
    for (const std::string mode : {"zero1", "hybrid"}) {
      const std::string run = StrCat(mode, "-", name);
      Train(run, launch, Steps(20) + Mode(mode) + "--set dist.bucket_bytes=65536");
      ExpectSameRun(run, plain);
    }
  }
}

TEST(ExchangeModes, LossesAgreeForFiftySteps) {
  Train("long-1", kAlone, Steps(50));
  for (const Launch& launch : {kTwoLocal, kThreeLocal}) {
    const std::string run = StrCat("long-", launch.local);
    Train(run, launch, Steps(50) + Mode("zero1"));
    const std::vector<Json> mine = Metrics(Data().run(run)), theirs = Metrics(Data().run("long-1"));
    ASSERT_EQ(mine.size(), 50u);
    for (std::size_t i = 0; i < 50; ++i) {
      ExpectNear(mine[i], theirs[i], "loss", i < 10 ? 1e-5 : 1e-3);
      ExpectNear(mine[i], theirs[i], "grad_norm", 1e-2);
    }
  }
}

TEST(ExchangeModes, LossesAgreeInFloat64) {
  const std::string wide = Steps(20) + "--set trainer.precision=float64 ";
  Train("wide-1", kAlone, wide);
  for (const Launch& launch : {kTwoLocal, kThreeLocal}) {
    const std::string run = StrCat("wide-", launch.local);
    Train(run, launch, wide + Mode("zero1"));
    ExpectNearMetrics(Data().run(run), Data().run("wide-1"), 1e-9);
  }
}

// Goes back to the checkpoint of step 12, which has crossed a change of stage, and on from there.
void GoOnFromStep12(const std::string& run, const Launch& launch, const std::string& more) {
  for (const std::string& name : Committed(Data().run(run)))
    if (name != "step-00000012") RemoveTree(StrCat(Data().run(run), "/ckpt/", name));
  RemoveTree(Data().run(run) + "/DONE");
  const Outcome outcome = Data().Run(run, launch, more);
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, testing::HasSubstr("(step 12"));
}

TEST(ExchangeModes, CheckpointsFitEveryModeAndWorldSize) {
  Train("whole", kTwoLocal, Steps(18));
  const std::string stops = "--set trainer.checkpoint_every=6 ";
  for (const auto& [from, to] : {std::pair{"zero1", "all_reduce"}, std::pair{"all_reduce", "zero1"},
                                 std::pair{"hybrid", "zero1"}}) {
    const std::string run = StrCat(from, "-to-", to);
    Train(run, kTwoLocal, Steps(18) + Mode(from) + stops);
    GoOnFromStep12(run, kTwoLocal, Steps(18) + Mode(to) + stops);
    EXPECT_EQ(ParametersDigest(Data().run(run)), ParametersDigest(Data().run("whole"))) << run;
    GoOnFromStep12(run, kThreeLocal, Steps(18) + Mode("zero1") + stops);
    const Json mine = Metrics(Data().run(run)).back(), theirs = Metrics(Data().run("whole")).back();
    EXPECT_EQ(mine.at("step"), theirs.at("step"));
    ExpectNear(mine, theirs, "loss", 1e-4);
  }
}

TEST(ExchangeModes, BFloat16OnTheWireLearns) {
  Train("narrow-float32", kTwoLocal, Steps(40));
  for (const std::string mode : {"all_reduce", "zero1"})
    Train("narrow-" + mode, kTwoLocal, Steps(40) + Mode(mode) + "--set dist.wire=bfloat16");
  ExpectSameRun("narrow-zero1", "narrow-all_reduce");
  const double wide = Metrics(Data().run("narrow-float32")).back().at("loss");
  const double narrow = Metrics(Data().run("narrow-zero1")).back().at("loss");
  EXPECT_NEAR(narrow, wide, 0.05 * wide);
  EXPECT_NE(narrow, wide);
}

TEST(Precision, BFloat16LearnsAndIsCloseToFloat32) {
  Train("wide", kTwoLocal, Steps(40));
  Train("short", kTwoLocal, Steps(40) + "--set trainer.precision=bfloat16");
  const std::vector<Json> wide = Metrics(Data().run("wide")), narrow = Metrics(Data().run("short"));
  ASSERT_EQ(narrow.size(), 40u);
  ExpectNear(narrow[0], wide[0], "loss", 1e-2);
  EXPECT_NE(narrow[0].at("loss"), wide[0].at("loss")) << "nothing ran in bfloat16";
  ExpectNear(narrow[39], wide[39], "loss", 0.1);
  EXPECT_LT(narrow[10].at("anatomy").get<double>(), 0.9 * narrow[0].at("anatomy").get<double>());
  // In slices too, where the encoders run twice.
  const std::string three = Steps(3) + "--set trainer.precision=bfloat16 ";
  Train("short-whole", kTwoLocal, three);
  Train("short-slices", kTwoLocal, three + "--set trainer.accumulate=2");
  ExpectNear(Metrics(Data().run("short-slices"))[2], Metrics(Data().run("short-whole"))[2], "loss",
             1e-2);
}

}  // namespace
}  // namespace vesalius::trainer
