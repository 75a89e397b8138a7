// F30 to F32: numbers that are not finite, that stand out, parameters that differ from rank to
// rank. All with the program itself; a run that is killed afterwards and goes on must end as the
// one that was not.
#include <gmock/gmock.h>

#include <csignal>

#include "record/events.h"
#include "tests/trainer/training.h"

namespace vesalius::trainer {
namespace {

using testing::HasSubstr;

constexpr int kSteps = 60;  // stages change after 18 and 30

const Training& Data() {
  static const Training training;
  return training;
}

std::string Trained(const std::string& name, const Launch& launch, const std::string& more) {
  const Outcome outcome = Data().Run(name, launch, Steps(kSteps) + more);
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  return Data().run(name);
}

// Killed when a checkpoint after the fault is there, then started again.
std::string TrainedWithAKill(const std::string& name, const Launch& launch,
                             const std::string& more) {
  const std::string line = Steps(kSteps) + more + " --fault kill@58:0";
  EXPECT_NE(Data().Run(name, launch, line).status, 0);
  const Outcome again = Data().Run(name, launch, line);
  EXPECT_EQ(again.status, 0) << again.output;
  return Data().run(name);
}

double Last(const std::string& run, const char* count) {
  const std::vector<Json> lines = Metrics(run);
  return lines.empty() ? -1 : lines.back().value(count, -1.0);
}

std::vector<record::Event> Named(const std::string& run, const std::string& name) {
  std::vector<record::Event> found;
  for (record::Event& event : record::ReadEvents(run).all)
    if (event.name == name) found.push_back(std::move(event));
  return found;
}

void ExpectEveryStepOnce(const std::string& run) {
  const std::vector<Json> lines = Metrics(run);
  ASSERT_EQ(lines.size(), static_cast<std::size_t>(kSteps));
  for (int i = 0; i < kSteps; ++i) EXPECT_EQ(lines[i].at("step"), i + 1);
}

TEST(F30, ANanOfOneRankIsSkippedByAll) {
  const std::string more = "--set watch.replica_every=1 --fault nan@27:1";
  const std::string run = Trained("nan", kTwoMpi, more);
  ExpectEveryStepOnce(run);
  const std::vector<Json> lines = Metrics(run);
  EXPECT_TRUE(lines[26].at("grad_norm").is_null());
  EXPECT_EQ(lines[25].at("skipped"), 0);
  EXPECT_EQ(Last(run, "skipped"), 1);
  EXPECT_EQ(Named(run, "numbers").size(), 2u);  // both ranks
  EXPECT_EQ(Named(run, "numbers")[0].step, 27);
  EXPECT_TRUE(Named(run, "replicas").empty());  // compared after every step
  const std::string killed = TrainedWithAKill("nan-killed", kTwoMpi, more);
  EXPECT_EQ(ParametersDigest(run), ParametersDigest(killed));
  ExpectSameMetrics(killed, run);
  EXPECT_NE(ParametersDigest(run), ParametersDigest(Trained("quiet", kTwoMpi, "")));
}

TEST(F30, TooManyEndTheRun) {
  std::string more = Steps(kSteps) + "--set watch.max_skipped=2";
  for (int step = 21; step <= 25; ++step) more += StrCat(" --fault nan@", step, ":0");
  const Outcome outcome = Data().Run("nans", kTwoLocal, more);
  EXPECT_EQ(outcome.status, 82) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("watch.max_skipped is 2"));
  EXPECT_EQ(Metrics(Data().run("nans")).size(), 22u);
}

const std::string kRollBack =
    "--set watch.window=16 --set watch.spike=50 --set watch.action=roll_back ";

// A gradient times 1,000 at step 45, the last checkpoint being that of step 42.
TEST(F31, ASpikeIsRolledBackBehindItsSamples) {
  const std::string more = kRollBack + "--fault spike@45:1";
  const std::string run = Trained("spike", kTwoMpi, more);
  ExpectEveryStepOnce(run);
  EXPECT_EQ(Last(run, "spikes"), 1);
  EXPECT_EQ(Last(run, "rollbacks"), 1);
  EXPECT_EQ(Last(run, "skipped"), 0);
  const std::vector<Json> lines = Metrics(run);
  const auto batch = lines[0].at("samples").get<std::int64_t>();
  EXPECT_EQ(lines[41].at("samples"), 42 * batch);
  EXPECT_EQ(lines[42].at("samples"), 46 * batch);  // behind those of 43 to 45
  const std::vector<record::Event> found = Named(run, "numbers");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].step, 45);
  for (const record::Event& event : found) EXPECT_FALSE(event.fields.at("samples").empty());
  const std::string killed = TrainedWithAKill("spike-killed", kTwoMpi, more);
  EXPECT_EQ(ParametersDigest(run), ParametersDigest(killed));
}

// A run that begins with another one's step has nothing to go back to before its first own.
TEST(F31, WithoutAnOwnCheckpointItIsSkipped) {
  const std::string first = Trained("other", kTwoLocal, kRollBack + "--set trainer.keep=1000");
  const std::string run =
      Trained("begun-with", kTwoLocal,
              StrCat(kRollBack, "--fault spike@45:1 --resume ", first, "/ckpt/step-00000042"));
  EXPECT_EQ(Last(run, "skipped"), 1);
  EXPECT_EQ(Last(run, "rollbacks"), 0);
}

// Step 42 is damaged on disk and good in memory: the run goes on from memory, goes back at 45 to
// step 36, and is killed at 40: what is undone does not come back from memory.
TEST(F31, ADamagedCheckpointIsPassedOverAndWhatIsUndoneStaysUndone) {
  const std::string run = Data().run("damaged"), memory = Data().folder() + "/memory";
  MakeDirs(memory);
  const auto start = [&](const std::string& faults) {
    return Shell("env VESALIUS_MEMORY=" + memory + " " +
                 Data().Line("damaged", kTwoLocal, Steps(kSteps) + kRollBack + faults));
  };
  EXPECT_NE(start("--fault kill-committed@42:0").status, 0);
  ASSERT_EQ(NewestCheckpoint(run), run + "/ckpt/step-00000042");
  FlipByte(run + "/ckpt/step-00000042/rank-0001.shard", 0);
  const Outcome second = start("--fault spike@45:1 --fault kill@40:0");
  EXPECT_THAT(second.output, HasSubstr("resumed from memory:42:"));
  EXPECT_THAT(second.output, HasSubstr("step-00000042 is moved to quarantine"));
  EXPECT_THAT(second.output, HasSubstr("back from step 45 to step 36"));
  EXPECT_EQ(second.status, 128 + SIGKILL) << second.output;
  const Outcome third = start("");
  EXPECT_EQ(third.status, 0) << third.output;
  EXPECT_THAT(third.output, HasSubstr("resumed from " + run + "/ckpt/step-00000036"));
  ExpectEveryStepOnce(run);
}

TEST(F31, ASpikeIsSkippedOrTold) {
  const std::string more = "--set watch.window=16 --set watch.spike=50 --fault spike@45:0 ";
  const std::string skipped = Trained("skip", kTwoLocal, more + "--set watch.action=skip");
  EXPECT_EQ(Last(skipped, "spikes"), 1);
  EXPECT_EQ(Last(skipped, "skipped"), 1);
  const std::string flagged = Trained("flag", kTwoLocal, more + "--set watch.action=flag");
  EXPECT_EQ(Last(flagged, "spikes"), 1);
  EXPECT_EQ(Last(flagged, "skipped"), 0);
  EXPECT_NE(ParametersDigest(skipped), ParametersDigest(flagged));
}

// A bit of one rank's parameters flips at step 45: found at 48, nothing is lost.
TEST(F32, AFlippedBitIsNamedAndUndone) {
  const std::string quiet = Trained("three", Launch{3, 0}, "");
  const std::string run =
      Trained("flip", Launch{3, 0}, "--set watch.replica_every=4 --fault flip@45:1");
  const std::vector<record::Event> found = Named(run, "replicas");
  ASSERT_EQ(found.size(), 3u);  // every rank tells
  EXPECT_EQ(found[0].step, 48);
  EXPECT_EQ(found[0].fields.at("ranks"), "1");
  EXPECT_EQ(Last(run, "rollbacks"), 1);
  ExpectEveryStepOnce(run);
  EXPECT_EQ(ParametersDigest(run), ParametersDigest(quiet));
}

TEST(F32, OfTwoRanksNoneCanBeNamed) {
  const std::string quiet = Trained("two", kTwoMpi, "");
  const std::string run = Trained("flip-two", kTwoMpi, "--fault flip@45:1");  // found by the save
  const std::vector<record::Event> found = Named(run, "replicas");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_THAT(found[0].fields.at("finding").get<std::string>(), HasSubstr("no majority"));
  EXPECT_EQ(ParametersDigest(run), ParametersDigest(quiet));
}

// With the comparison off, the same flip goes unnoticed into the result: what it protects from.
TEST(F32, WithoutTheComparisonTheFlipStays) {
  const std::string quiet = Trained("two-off", kTwoMpi, "");
  const std::string run =
      Trained("flip-off", kTwoMpi, "--set watch.replica_every=0 --fault flip@45:0");
  EXPECT_TRUE(Named(run, "replicas").empty());
  EXPECT_NE(ParametersDigest(run), ParametersDigest(quiet));
}

}  // namespace
}  // namespace vesalius::trainer
