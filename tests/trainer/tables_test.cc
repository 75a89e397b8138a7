// The tables in the product: a run that looks frozen texts up is the run that encodes them each
// step; a run with knowledge rows is the same on any ranks, in slices, stopped and resumed, and its
// checkpoint serves evaluation, embedding and export.
#include <gmock/gmock.h>

#include "tests/trainer/training.h"

namespace vesalius::trainer {
namespace {

using testing::HasSubstr;

constexpr int kSteps = 10;

const Training& Data() {
  static const Training training;
  return training;
}

// Every loss, from the first step on; many sentences negated or reworded; reports.
std::string Frozen(const std::string& more) {
  return StrCat(Steps(kSteps), "--set model.text.frozen=true --set data.perturb=0.5 ",
                "--set loss.pair=0.5 --set data.report_length=32 ",
                "--set trainer.stage1=0 --set trainer.stage2=0.2 ", more);
}

void RunTo(const std::string& name, const Launch& launch, const std::string& more) {
  const Outcome outcome = Data().Run(name, launch, more);
  ASSERT_EQ(outcome.status, 0) << outcome.output;
}

double Total(const std::string& run, const std::string& key) {
  double total = 0;
  for (const Json& line : Metrics(Data().run(run))) total += line.at(key).get<double>();
  return total;
}

TEST(SentenceTable, EqualsTheFrozenEncoder) {
  RunTo("encoder", kAlone, Frozen(""));
  RunTo("encoder-64", kAlone, Frozen("--set trainer.precision=float64"));
  const std::string table = "--set model.text.table=true --set dist.table=";
  const std::map<std::string, std::pair<Launch, std::string>> runs = {
      {"alone", {kAlone, "plan"}}, {"two", {kTwoMpi, "rows"}}, {"three", {kThreeLocal, "columns"}}};
  for (const auto& [name, how] : runs) {
    RunTo(name, how.first, Frozen(table + how.second));
    ExpectNearMetrics(Data().run(name), Data().run("encoder"), 1e-5);
    RunTo(name + "-64", how.first, Frozen(table + how.second + " --set trainer.precision=float64"));
    ExpectNearMetrics(Data().run(name + "-64"), Data().run("encoder-64"), 1e-9);
    EXPECT_EQ(Total(name, "table.missing"), 0) << "a text was not in the table";
    EXPECT_EQ(Total(name, "table.bytes_sent") > 0, name != "alone") << name;
  }
}

TEST(SentenceTable, FollowsTheCheckpointOnResume) {
  const std::string table = Frozen("--set model.text.table=true --set dist.table=rows ");
  RunTo("whole", kTwoLocal, table);
  const std::string folder = Data().run("stopped");
  Background job(Data().Line("stopped", kTwoLocal, table), folder + ".log");
  ASSERT_TRUE(WaitUntil([&] { return !job.Running() || Metrics(folder).size() >= 2; }));
  ::kill(PidOfRank(folder, 0), SIGTERM);
  ASSERT_EQ(job.Wait().status, 75);
  RunTo("stopped", kTwoLocal, table);
  ExpectSameMetrics(folder, Data().run("whole"));
  EXPECT_EQ(ParametersDigest(folder), ParametersDigest(Data().run("whole")));
}

std::string Knowledge(const std::string& more) {
  return StrCat(Steps(kSteps), "--set model.knowledge.enabled=true ",
                "--set trainer.stage1=0 --set trainer.stage2=0.2 ", more);
}

TEST(KnowledgeRows, AreTheSameOnAnyRanksInSlicesAndByAnyStrategy) {
  const std::string exact = "--set trainer.precision=float64 ";
  for (const char* optimiser : {"adam", "adagrad"}) {
    const std::string with = StrCat(exact, "--set model.knowledge.optimiser=", optimiser, " ");
    const std::string base = StrCat("one-", optimiser);
    RunTo(base, kAlone, Knowledge(with));
    EXPECT_GT(Metrics(Data().run(base)).back().at("knowledge"), 0);
    const std::map<std::string, std::pair<Launch, std::string>> runs = {
        {"replicated", {kTwoLocal, "--set dist.table=replicated"}},
        {"rows", {kThreeLocal, "--set dist.table=rows --set dist.table_mb=1"}},
        {"columns", {kTwoMpi, "--set dist.table=columns --set trainer.accumulate=3"}}};
    for (const auto& [name, how] : runs) {
      if (name != "rows" && std::string(optimiser) != "adam") continue;
      const std::string run = StrCat(name, "-", optimiser);
      RunTo(run, how.first, Knowledge(with + how.second));
      ExpectNearMetrics(Data().run(run), Data().run(base), 1e-9);
      EXPECT_GT(Total(run, "table.bytes_sent"), 0);
      EXPECT_LT(Metrics(Data().run(run)).back().at("table.unique_share"), 0.5);
    }
  }
}

TEST(KnowledgeRows, ResumeBitForBitAndByAnotherStrategy) {
  for (const char* optimiser : {"adam", "adagrad"}) {
    const std::string with = Knowledge(StrCat("--set model.knowledge.optimiser=", optimiser, " "));
    const std::string whole = StrCat("know-whole-", optimiser);
    RunTo(whole, kTwoLocal, with + "--set dist.table=rows");
    const std::string folder = Data().run(StrCat("know-stopped-", optimiser));
    const std::string name = StrCat("know-stopped-", optimiser);
    Background job(Data().Line(name, kTwoLocal, with + "--set dist.table=rows"), folder + ".log");
    ASSERT_TRUE(WaitUntil([&] { return !job.Running() || Metrics(folder).size() >= 4; }));
    ::kill(PidOfRank(folder, 0), SIGTERM);
    ASSERT_EQ(job.Wait().status, 75);
    const bool same = std::string(optimiser) == "adam";
    RunTo(name, kTwoLocal, with + "--set dist.table=" + (same ? "rows" : "columns"));
    if (same) ExpectSameMetrics(folder, Data().run(whole));  // else all but the counted bytes
    EXPECT_EQ(ParametersDigest(folder), ParametersDigest(Data().run(whole)));
  }
}

TEST(KnowledgeRows, ServeEvaluationEmbeddingAndExport) {
  RunTo("served", kTwoLocal, Knowledge("--set trainer.eval_every=10"));
  const std::string run = Data().run("served");
  const Outcome evaluated = Program(StrCat("evaluate --checkpoint ", run, " --data ", Data().data(),
                                           " --split valid --json ", run, "/figures.json"));
  ASSERT_EQ(evaluated.status, 0) << evaluated.output;
  const Outcome exported = Program(StrCat("export --checkpoint ", run, " --out ", run, "/export"));
  ASSERT_EQ(exported.status, 0) << exported.output;
  EXPECT_THAT(ReadFile(run + "/export/model.safetensors"), HasSubstr("knowledge.region_rows"));
}

TEST(Tables, SayWhatTheyNeed) {
  const Outcome outcome = Data().Run("thawed", kAlone, "--set model.text.table=true");
  EXPECT_EQ(outcome.status, 78);
  EXPECT_THAT(outcome.output, HasSubstr("model.text.frozen"));
}

}  // namespace
}  // namespace vesalius::trainer
