// The loader in training: tails of an epoch, mixtures of data sets, and their resume at another
// world size.
#include <gmock/gmock.h>

#include "tests/trainer/training.h"

namespace vesalius::trainer {
namespace {

// 80 phantom samples, some of them for training.
const Training& Data() {
  static const Training training;
  return training;
}

void Train(const std::string& name, const Launch& launch, const std::string& settings) {
  const Outcome outcome = Data().Run(name, launch, settings);
  ASSERT_EQ(outcome.status, 0) << outcome.output;
}

TEST(LoaderInTraining, PaddedStepsAreShortOnesAtAnyWorldSize) {
  const std::string settings = Steps(12) +
                               "--set trainer.global_batch=12 --set trainer.precision=float64 "
                               "--set loss.pair=0.5 --set data.report_length=32 "
                               "--set trainer.stage1=0 --set trainer.stage2=0 ";
  Train("short", kAlone, settings + "--set data.tail=short");
  Train("pad", kAlone, settings + "--set data.tail=pad");
  Train("pad-3", kThreeLocal, settings + "--set data.tail=pad");
  Train("slices", kTwoLocal, settings + "--set data.tail=pad --set trainer.accumulate=2");
  const std::vector<Json> steps = Metrics(Data().run("short"));
  std::int64_t last = 0, least = 12;
  for (const Json& step : steps) {
    least = std::min(least, step.at("samples").get<std::int64_t>() - last);
    last = step.at("samples");
  }
  EXPECT_LT(least, 12) << "no step was short";
  for (const char* other : {"pad", "pad-3", "slices"})
    ExpectNearMetrics(Data().run(other), Data().run("short"), 1e-9);
}

TEST(LoaderInTraining, MixturesResumeAtAnotherWorldSize) {
  const std::string other = Data().folder() + "/other";
  ASSERT_EQ(Program(StrCat("phantom --out ", other, " --samples 30 --seed 2 --size 96")).status, 0);
  const auto line = [&](const std::string& name, int ranks, int steps) {
    return ProgramLine(StrCat("pretrain --preset tiny --data ", Data().data(), "=3 --data ", other,
                              "=1 --run ", Data().run(name), " --set trainer.threads=1 ",
                              Steps(steps), "--local-ranks ", ranks,
                              " --set trainer.precision=float64 --set trainer.stage1=0 --set "
                              "trainer.stage2=0 --set trainer.warmup=0 --set trainer.min_lr=1"));
  };
  EXPECT_EQ(Shell(line("whole", 1, 14)).status, 0);
  EXPECT_EQ(Shell(line("parts", 3, 6)).status, 0);
  const Outcome resumed = Shell(line("parts", 2, 14));
  EXPECT_EQ(resumed.status, 0) << resumed.output;
  ExpectNearMetrics(Data().run("parts"), Data().run("whole"), 1e-9);
  // In another order they are other data.
  const Outcome swapped = Program(StrCat(
      "pretrain --preset tiny --data ", other, " --data ", Data().data(), " --run ",
      Data().run("parts"), " --set trainer.threads=1 --set trainer.precision=float64 ", Steps(14)));
  EXPECT_EQ(swapped.status, 78) << swapped.output;
}

// Reports as tokens of a file: the same training, and ranks of equal load.
TEST(LoaderInTraining, ReportsAreTokenisedOnce) {
  const std::string settings =
      Steps(8) +
      "--set trainer.precision=float64 --set loss.pair=0.5 --set data.report_length=32 "
      "--set trainer.stage1=0 --set trainer.stage2=0 ";
  Train("no-tokens", kTwoLocal, settings + "--set data.token_cache=false");
  const auto token_files = [] {
    std::vector<std::string> names;
    for (const std::string& name : ListDir(Data().data()))
      if (name.starts_with("tokens-")) names.push_back(name);
    return names;
  };
  for (const std::string& name : token_files()) RemoveTree(Data().data() + "/" + name);
  Train("tokens", kThreeLocal, settings);
  ExpectNearMetrics(Data().run("tokens"), Data().run("no-tokens"), 1e-9);
  ASSERT_EQ(token_files().size(), 1u);
  // A damaged file is made anew.
  WriteFileAtomic(Data().data() + "/" + token_files()[0], "cut short");
  Train("again", kTwoLocal, settings);
  ExpectNearMetrics(Data().run("again"), Data().run("no-tokens"), 1e-9);
  EXPECT_EQ(Program("inspect " + Data().data()).status, 0);
}

TEST(LoaderInTraining, DataThatDoNotFitTogetherAreRefused) {
  const std::string small = Data().folder() + "/small";
  ASSERT_EQ(Program(StrCat("phantom --out ", small, " --samples 30 --seed 2 --size 64")).status, 0);
  const auto refused = [&](const std::string& data, int status, const char* word) {
    const Outcome outcome = Program(StrCat("pretrain --preset tiny ", data, " --run ",
                                           Data().run("never"), " --set trainer.threads=1"));
    EXPECT_EQ(outcome.status, status) << outcome.output;
    EXPECT_THAT(outcome.output, testing::HasSubstr(word));
  };
  refused(StrCat("--data ", Data().data(), " --data ", small), 78, "stored size of images");
  refused(StrCat("--data ", Data().data(), "=0"), 64, "number above 0");
  refused(StrCat("--data ", Data().data(), "=2 --data ", Data().data()), 64, "with every --data");
}

}  // namespace
}  // namespace vesalius::trainer
