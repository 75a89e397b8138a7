// The contrastive losses in training: what must not matter does not (memory mode, ranks, slices,
// with dropout too), the audit is reported, and the other forms train.
#include <gmock/gmock.h>

#include "tests/trainer/training.h"

namespace vesalius::trainer {
namespace {

const Training& Data() {
  static const Training training;
  return training;
}

// All losses from the first step on.
std::string Settings(int steps, const std::string& precision) {
  return StrCat(Steps(steps), "--set loss.pair=0.5 --set data.report_length=32 ",
                "--set trainer.stage1=0 --set trainer.stage2=0 --set trainer.precision=", precision,
                " ");
}

void Train(const std::string& name, const Launch& launch, const std::string& settings) {
  const Outcome outcome = Data().Run(name, launch, settings);
  ASSERT_EQ(outcome.status, 0) << outcome.output;
}

class PrecisionTest : public testing::TestWithParam<std::pair<const char*, double>> {};
INSTANTIATE_TEST_SUITE_P(Types, PrecisionTest,
                         testing::Values(std::pair("float32", 1e-5), std::pair("float64", 1e-9)));

TEST_P(PrecisionTest, TrainsTheSameInEveryMemoryModeAtAnyWorldSize) {
  const auto [precision, tolerance] = GetParam();
  const std::string settings = Settings(10, precision), plain = StrCat(precision, "-plain");
  Train(plain, kAlone, settings);
  ASSERT_TRUE(Metrics(Data().run(plain)).front().contains("pair"));
  const std::vector<std::pair<std::string, Launch>> others = {{"gather", kThreeLocal},
                                                              {"hybrid", kTwoLocal},
                                                              {"hybrid", kThreeLocal},
                                                              {"ring", kTwoLocal},
                                                              {"ring", kThreeLocal}};
  for (const auto& [contrast, launch] : others) {
    const std::string name = StrCat(precision, "-", contrast, "-", launch.local);
    SCOPED_TRACE(name);
    Train(name, launch,
          StrCat(settings, "--set dist.logit_cache_mb=1 --set dist.contrast=", contrast));
    ExpectNearMetrics(Data().run(name), Data().run(plain), tolerance);
  }
}

TEST(ContrastTest, SigLipAndDroppedPositivesTrainTheSameAtAnyWorldSize) {
  const std::string settings = Settings(6, "float64");
  const std::string siglip = "--set loss.pair_form=siglip ", drop = "--set loss.positives=drop ";
  const std::map<std::string, std::string> forms = {
      {"siglip", siglip}, {"drop", drop}, {"both", siglip + drop}};
  for (const auto& [name, more] : forms) {
    SCOPED_TRACE(name);
    Train("one-" + name, kAlone, settings + more);
    Train("three-" + name, kThreeLocal, settings + more);
    ExpectNearMetrics(Data().run("three-" + name), Data().run("one-" + name), 1e-9);
  }
}

TEST(ContrastTest, SkippingIsForThoseWhoAsk) {
  Train("exact", kAlone, Settings(5, "float32"));
  Train("skipping", kAlone, Settings(5, "float32") + "--set loss.skip_epsilon=1e-9");
  ExpectNearMetrics(Data().run("skipping"), Data().run("exact"), 1e-4);
}

TEST(ContrastTest, AuditIsReportedWhenAsked) {
  Train("audit", kTwoLocal, Settings(5, "float32") + "--set trainer.audit_every=2");
  const std::vector<Json> lines = Metrics(Data().run("audit"));
  ASSERT_EQ(lines.size(), 5u);
  for (std::size_t step = 0; step < lines.size(); ++step) {
    ASSERT_EQ(lines[step].contains("audit.loss_error"), step % 2 == 0) << lines[step];
    EXPECT_LE(lines[step].value("audit.loss_error", 0.0), 1e-5);
  }
}

TEST(DropoutTest, SlicesReplayIt) {
  const std::string settings = Settings(6, "float64") + "--set model.dropout=0.2 ";
  Train("dropout", kTwoLocal, settings);
  Train("dropout-3", kTwoLocal, settings + "--set trainer.accumulate=3");
  ExpectNearMetrics(Data().run("dropout-3"), Data().run("dropout"), 1e-9);
  Train("no-dropout", kTwoLocal, Settings(6, "float64"));
  EXPECT_NE(TimelessMetrics(Data().run("dropout")), TimelessMetrics(Data().run("no-dropout")));
}

TEST(DropoutTest, AResumedRunGoesOnWithIt) {
  const std::string settings = Settings(16, "float32") + "--set model.dropout=0.2 ";
  Train("whole", kTwoLocal, settings);
  const std::string folder = Data().run("parts");
  Background job(Data().Line("parts", kTwoLocal, settings), folder + ".log");
  ASSERT_TRUE(WaitUntil([&] { return !job.Running() || Metrics(folder).size() >= 3; }));
  const pid_t pid = PidOfRank(folder, 0);
  ASSERT_GT(pid, 0);
  ::kill(pid, SIGUSR1);
  ASSERT_EQ(job.Wait().status, 75);
  Train("parts", kTwoLocal, settings);
  ExpectSameMetrics(folder, Data().run("whole"));
  EXPECT_EQ(ParametersDigest(folder), ParametersDigest(Data().run("whole")));
}

}  // namespace
}  // namespace vesalius::trainer
