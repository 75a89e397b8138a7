// The rules of a run folder: who may start in it, what may have changed since, where a run goes on.
#include <gmock/gmock.h>

#include "tests/trainer/training.h"

namespace vesalius::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const Training& Data() {
  static const Training training;
  return training;
}

std::string Folder(const std::string& name) { return Data().run(name); }

// Ten steps into a run of `steps`, with checkpoints 6 and 10; then the folder is at rest.
void MakeRun(const std::string& name, int steps = 10) {
  const Outcome outcome = Data().Run(name, kAlone, Steps(steps));
  ASSERT_EQ(outcome.status, 0) << outcome.output;
}

TEST(RunFolderTest, StartingAfreshInAUsedFolderIsRefused) {
  MakeRun("used");
  const std::vector<std::string> before = TimelessMetrics(Folder("used"));
  const Outcome outcome = Data().Run("used", kAlone, Steps(10) + "--resume none");
  EXPECT_EQ(outcome.status, 78);
  EXPECT_THAT(outcome.output, HasSubstr(Folder("used")));
  EXPECT_THAT(outcome.output, HasSubstr("--resume none"));
  EXPECT_EQ(TimelessMetrics(Folder("used")), before);
  EXPECT_EQ(Data().Run("fresh", kAlone, Steps(2) + "--resume none").status, 0);
}

TEST(RunFolderTest, AFinishedRunSaysSoAndStaysFinished) {
  MakeRun("finished");
  const std::string digest = ParametersDigest(Folder("finished"));
  const std::vector<std::string> metrics = TimelessMetrics(Folder("finished"));
  EXPECT_EQ(Json::parse(ReadFile(Folder("finished") + "/DONE"))["step"], 10);
  const Outcome outcome = Data().Run("finished", kAlone, Steps(10));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.output, HasSubstr("finished 10 steps"));
  EXPECT_EQ(ParametersDigest(Folder("finished")), digest);
  EXPECT_EQ(TimelessMetrics(Folder("finished")), metrics);
  EXPECT_TRUE(Exists(Folder("finished") + "/DONE"));
}

TEST(RunFolderTest, ACheckpointTellsWhatMadeIt) {
  MakeRun("told", 2);
  const Json found = Inspect(Folder("told"));
  EXPECT_EQ(found["step"], 2);
  EXPECT_EQ(found["samples"], 16);
  EXPECT_THAT(Program("version").output, HasSubstr(found["version"].get<std::string>() + "\n"));
  EXPECT_NE(found["version"], "");
  EXPECT_EQ(found["config_hash"].get<std::string>().size(), std::size_t{16});
  EXPECT_GT(found["wall_time"].get<double>(), 1.7e9);
  EXPECT_EQ(found["token"].get<std::string>() + "\n", ReadFile(Folder("told") + "/ATTEMPT"));
  EXPECT_FALSE(Exists(Folder("told") + "/ranks/1/rank-1.pid"));
  EXPECT_GT(PidOfRank(Folder("told"), 0), 0);
}

TEST(RunFolderTest, ASecondRunBesideALivingOneIsRefused) {
  Background first(Data().Line("shared", kAlone, Steps(100000)), Folder("shared") + ".log");
  ASSERT_TRUE(WaitUntil([&] { return Metrics(Folder("shared")).size() > 1; }));
  for (const Launch& launch : {kAlone, kTwoLocal, kTwoMpi}) {
    const Outcome second = Data().Run("shared", launch, Steps(100000));
    EXPECT_EQ(second.status, 76) << second.output;
    EXPECT_THAT(second.output, HasSubstr(StrCat("pid ", first.pid())));
    EXPECT_THAT(second.output, HasSubstr(Folder("shared")));
  }
  ASSERT_TRUE(first.Running());
  ::kill(first.pid(), SIGTERM);
  EXPECT_EQ(first.Wait().status, 75) << "the second run disturbed the first";
}

TEST(RunFolderTest, AnAttemptThatWasReplacedPublishesNothing) {
  Background left_over(Data().Line("fenced", kTwoMpi, Steps(100000)), Folder("fenced") + ".log");
  ASSERT_TRUE(WaitUntil([&] { return Metrics(Folder("fenced")).size() > 1; }));
  // As a newer attempt on another node would, where no lock is seen across nodes.
  std::string token = ReadFile(Folder("fenced") + "/ATTEMPT");
  token = Replace(token, "/000001/000001", "/000002/000002");
  WriteFileAtomic(Folder("fenced") + "/ATTEMPT", token);
  const std::vector<std::string> before = Committed(Folder("fenced"));
  const Outcome outcome = left_over.Wait();
  EXPECT_EQ(outcome.status, 76) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("publishes nothing"));
  const std::vector<std::string> after = Committed(Folder("fenced"));
  EXPECT_LE(after.size(), before.size() + 1) << "it went on saving";
  for (const std::string& name : ListDir(Folder("fenced") + "/ckpt"))
    EXPECT_THAT(name, Not(HasSubstr(".tmp"))) << "left behind";
}

TEST(RunFolderTest, KeysThatMayNotChangeAreNamed) {
  MakeRun("keys");
  const Outcome outcome = Data().Run(
      "keys", kAlone, Steps(12) + "--set trainer.lr=1e-4 --set model.embed_dim=16 --set seed=9");
  EXPECT_EQ(outcome.status, 78);
  for (const char* key : {"trainer.lr (0.0015 -> 0.0001)", "model.embed_dim (32 -> 16)", "seed"})
    EXPECT_THAT(outcome.output, HasSubstr(key));
  EXPECT_THAT(outcome.output, Not(HasSubstr("trainer.steps")));
  EXPECT_EQ(Metrics(Folder("keys")).size(), std::size_t{10});
  EXPECT_TRUE(Exists(Folder("keys") + "/DONE")) << "a refused start unmade the finished run";
}

TEST(RunFolderTest, KeysThatMayChangeDo) {
  MakeRun("more");
  const Outcome outcome =
      Data().Run("more", kAlone,
                 Steps(12) +
                     "--set data.workers=2 --set trainer.keep=2 --set dist.bucket_bytes=65536 "
                     "--set trainer.eval_every=12 --set dist.deadline=90");
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_EQ(Metrics(Folder("more")).size(), std::size_t{12});
  EXPECT_THAT(Committed(Folder("more")), ElementsAre("step-00000010", "step-00000012"));
  // What each attempt ran with is kept.
  EXPECT_THAT(ListDir(Folder("more") + "/attempts"), ElementsAre("1", "2"));
  EXPECT_THAT(ReadFile(Folder("more") + "/attempts/1/config.txtpb"), HasSubstr("steps: 10\n"));
  EXPECT_THAT(ReadFile(Folder("more") + "/attempts/2/config.txtpb"), HasSubstr("steps: 12\n"));
}

TEST(RunFolderTest, AnotherDataSetIsRefused) {
  MakeRun("data-run");
  const std::string other = Data().folder() + "/other";
  ASSERT_EQ(Program("phantom --samples 80 --seed 2 --size 96 --out " + other).status, 0);
  const std::string line = Replace(Data().Line("data-run", kAlone, Steps(12)),
                                   "--data " + Data().data(), "--data " + other);
  const Outcome outcome = Shell(line);
  EXPECT_EQ(outcome.status, 78);
  EXPECT_THAT(outcome.output, HasSubstr(other));
  EXPECT_EQ(Metrics(Folder("data-run")).size(), std::size_t{10});
}

TEST(RunFolderTest, TheSameDataSetElsewhereIsTaken) {
  MakeRun("moved-run");
  const std::string copy = Data().folder() + "/copy";
  ASSERT_EQ(Shell("cp -r " + Data().data() + " " + copy).status, 0);
  const std::string line = Replace(Data().Line("moved-run", kAlone, Steps(12)),
                                   "--data " + Data().data(), "--data " + copy);
  const Outcome outcome = Shell(line);
  EXPECT_EQ(outcome.status, 0) << outcome.output;
}

TEST(RunFolderTest, ACheckpointOfAnotherRunStartsANewOne) {
  MakeRun("parent", 12);
  ASSERT_EQ(Data()
                .Run("child", kAlone,
                     StrCat(Steps(12), "--resume ", Folder("parent"), "/ckpt/step-00000006"))
                .status,
            0);
  EXPECT_EQ(Metrics(Folder("child")).front()["step"], 7);
  EXPECT_EQ(ParametersDigest(Folder("child")), ParametersDigest(Folder("parent")));
  // A run folder stands for its newest checkpoint; the parent is left as it was.
  const std::vector<std::string> before = TimelessMetrics(Folder("parent"));
  ASSERT_EQ(
      Data().Run("grandchild", kAlone, StrCat(Steps(14), "--resume ", Folder("child"))).status, 0);
  EXPECT_EQ(Metrics(Folder("grandchild")).front()["step"], 13);
  EXPECT_EQ(TimelessMetrics(Folder("parent")), before);
  const Outcome outcome =
      Data().Run("orphan", kAlone, StrCat(Steps(12), "--resume ", Folder("absent")));
  EXPECT_EQ(outcome.status, 66);
  EXPECT_THAT(outcome.output, HasSubstr(Folder("absent")));
}

TEST(RunFolderTest, ADamagedCheckpointIsPassedOverAndTheReasonSaid) {
  MakeRun("damaged", 12);
  const std::string shard = Folder("damaged") + "/ckpt/step-00000012/rank-0000.shard";
  FlipByte(shard, static_cast<std::int64_t>(FileSize(shard)) / 2 / 4096 * 4096);
  EXPECT_EQ(Program("inspect " + Folder("damaged") + "/ckpt/step-00000012").status, 65);
  const Outcome outcome = Data().Run("damaged", kTwoLocal, Steps(12));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("moved to quarantine"));
  EXPECT_THAT(outcome.output, HasSubstr("step-00000012"));
  EXPECT_EQ(Metrics(Folder("damaged")).size(), std::size_t{12});
  EXPECT_EQ(Inspect(Folder("damaged"))["step"], 12);
  // Lines past the step that was loaded were moved, not lost.
  EXPECT_EQ(Split(ReadFile(Folder("damaged") + "/metrics.jsonl.2"), '\n').size(), std::size_t{7});
}

// A run that lives may commit a step between two looks: one rank looks for all.
TEST(RunFolderTest, OneRankChoosesTheStepToEvaluate) {
  MakeRun("chosen", 12);
  FlipByte(Folder("chosen") + "/ckpt/step-00000012/MANIFEST", 40);
  const Outcome outcome = Program(StrCat("evaluate --checkpoint ", Folder("chosen"), " --data ",
                                         Data().data(), " --task localisation --local-ranks 2"));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  const std::size_t told = outcome.output.find("passed over");
  EXPECT_NE(told, std::string::npos) << outcome.output;
  EXPECT_EQ(told, outcome.output.rfind("passed over")) << "each rank looked for itself";
}

TEST(RunFolderTest, TheEndOfAJobsTimeStopsTheRun) {
  const Outcome outcome = Shell("SLURM_JOB_END_TIME=$(($(date +%s) + 34)) " +
                                Data().Line("job", kTwoLocal, Steps(100000)));
  EXPECT_EQ(outcome.status, 75) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("(the job's time ends in "));
}

TEST(RunFolderTest, WithoutAnyGoodCheckpointItSaysSo) {
  MakeRun("ruined", 12);
  for (const std::string& step : Committed(Folder("ruined")))
    FlipByte(StrCat(Folder("ruined"), "/ckpt/", step, "/MANIFEST"), 40);
  const std::vector<std::string> metrics = TimelessMetrics(Folder("ruined"));
  const Outcome outcome = Data().Run("ruined", kTwoMpi, Steps(12));
  EXPECT_EQ(outcome.status, 65) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr(Folder("ruined")));
  EXPECT_THAT(outcome.output, HasSubstr("is good: "));
  EXPECT_THAT(outcome.output, HasSubstr("--resume PATH"));
  for (const std::string& step : Committed(Folder("ruined")))
    EXPECT_THAT(outcome.output, HasSubstr(step));
  EXPECT_EQ(TimelessMetrics(Folder("ruined")), metrics) << "it started from nothing";
}

TEST(RunFolderTest, ARunThatLostAllItsStepsDoesNotBeginAnew) {
  MakeRun("lost", 12);
  for (const std::string& step : Committed(Folder("lost"))) {
    const std::string shard = StrCat(Folder("lost"), "/ckpt/", step, "/rank-0000.shard");
    FlipByte(shard, static_cast<std::int64_t>(FileSize(shard)) / 2 / 4096 * 4096);
  }
  for (int start = 0; start < 2; ++start) {
    const Outcome outcome = Data().Run("lost", kAlone, Steps(14));
    EXPECT_EQ(outcome.status, 65) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("ckpt/quarantine"));
    EXPECT_THAT(outcome.output, HasSubstr("to begin anew"));
  }
  EXPECT_EQ(Metrics(Folder("lost")).size(), std::size_t{12});
  ASSERT_EQ(Shell("rm -r " + Folder("lost") + "/ckpt/quarantine").status, 0);
  EXPECT_EQ(Data().Run("lost", kAlone, Steps(2)).status, 0);
  EXPECT_EQ(Metrics(Folder("lost")).size(), std::size_t{2});
}

// Even root cannot read a folder as a file, nor follow a link to itself.
TEST(RunFolderTest, AStepThatCannotBeReadStopsTheStart) {
  MakeRun("unreadable", 12);
  const std::string step = Folder("unreadable") + "/ckpt/step-00000012";
  for (const std::string file : {"/MANIFEST", "/rank-0000.shard"}) {
    ASSERT_EQ(
        Shell(StrCat("mv ", step, file, " ", step, "/aside && ln -s ", step, file, " ", step, file))
            .status,
        0);
    const Outcome outcome = Data().Run("unreadable", kAlone, Steps(14));
    EXPECT_EQ(outcome.status, 66) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(step + file + ": Too many levels of symbolic links"));
    EXPECT_FALSE(Exists(Folder("unreadable") + "/ckpt/quarantine"));
    ASSERT_EQ(Shell(StrCat("mv ", step, "/aside ", step, file)).status, 0);
  }
}

TEST(RunFolderTest, AnOlderStepIsNamedWhereTheNewestCannotBeRead) {
  MakeRun("around", 12);
  const std::string ckpt = Folder("around") + "/ckpt", manifest = ckpt + "/step-00000012/MANIFEST";
  ASSERT_EQ(Shell(StrCat("rm ", manifest, " && ln -s ", manifest, " ", manifest)).status, 0);
  EXPECT_EQ(Data().Run("around", kAlone, Steps(14)).status, 66);
  const Outcome outcome =
      Data().Run("around", kAlone, StrCat(Steps(14), "--resume ", ckpt, "/step-00000006"));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("(step 6,"));
  EXPECT_THAT(ListDir(ckpt + "/quarantine"), ElementsAre("step-00000012"));
  EXPECT_EQ(Metrics(Folder("around")).size(), std::size_t{14});
}

TEST(RunFolderTest, ALinkToAFolderThatIsNotThereIsNoEmptyRun) {
  MakeRun("linked", 12);
  const std::string ckpt = Folder("linked") + "/ckpt";
  ASSERT_EQ(Shell(StrCat("mv ", ckpt, " ", ckpt, "-elsewhere && ln -s absent ", ckpt)).status, 0);
  const Outcome outcome = Data().Run("linked", kAlone, Steps(14));
  EXPECT_EQ(outcome.status, 66) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr(ckpt));
  ASSERT_EQ(Shell(StrCat("ln -sfn ", ckpt, "-elsewhere ", ckpt)).status, 0);
  EXPECT_EQ(Data().Run("linked", kAlone, Steps(14)).status, 0);
  EXPECT_EQ(Metrics(Folder("linked")).size(), std::size_t{14});
}

TEST(RunFolderTest, OwnStepsGoBeforeAnotherRunsCheckpoint) {
  MakeRun("source", 12);
  const std::string words = StrCat("--resume ", Folder("source"), "/ckpt/step-00000006");
  ASSERT_EQ(Data().Run("own", kAlone, Steps(12) + words).status, 0);
  const Outcome outcome = Data().Run("own", kAlone, Steps(14) + words);
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("is for a run without steps"));
  EXPECT_THAT(outcome.output, HasSubstr("(step 12,"));
  EXPECT_EQ(Metrics(Folder("own")).size(), std::size_t{8});  // 7 to 14, none twice
}

TEST(RunFolderTest, AnOwnStepIsGoneBackToOnceInALaunch) {
  MakeRun("back", 12);
  const std::string words = Steps(14) + "--resume " + Folder("back") + "/ckpt/step-00000006";
  const std::string launched = "VESALIUS_GENERATION=5 " + Data().Line("back", kAlone, words);
  EXPECT_THAT(Shell(launched).output, HasSubstr("(step 6,"));
  EXPECT_TRUE(IsDir(Folder("back") + "/ckpt/quarantine/step-00000012"));
  EXPECT_THAT(Shell(launched).output,
              HasSubstr("goes on from " + NewestCheckpoint(Folder("back"))));
}

TEST(RunFolderTest, AWrongSourceLeavesANewFolderNew) {
  EXPECT_EQ(Data().Run("new", kAlone, Steps(2) + "--resume " + Folder("absent")).status, 66);
  EXPECT_FALSE(Exists(Folder("new") + "/ATTEMPT"));
  EXPECT_EQ(Data().Run("new", kAlone, Steps(2) + "--resume none").status, 0);
}

TEST(RunFolderTest, TheLastLineSaysWhatIsThere) {
  MakeRun("longer", 12);
  const Outcome fewer = Data().Run("longer", kAlone, Steps(6));
  EXPECT_EQ(fewer.status, 0) << fewer.output;
  EXPECT_THAT(fewer.output, HasSubstr("finished 12 steps, all of them before this start"));
  const Outcome none = Data().Run("empty", kAlone, Steps(12) + "--resume " + Folder("longer"));
  EXPECT_EQ(none.status, 0) << none.output;
  EXPECT_THAT(none.output, Not(HasSubstr("checkpoints in")));
}

TEST(RunFolderTest, ABestFigureThatNoEvaluationGivesIsTold) {
  const Outcome never = Data().Run("best", kAlone, "--set checkpoint.keep_best=iou");
  EXPECT_EQ(never.status, 78);
  EXPECT_THAT(never.output, HasSubstr("trainer.eval_every"));
  const Outcome outcome = Data().Run(
      "best", kAlone,
      Steps(4) + "--set trainer.eval_every=2 --set checkpoint.keep_best=-localisation.io");
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  const std::string told = "gives no figure 'localisation.io'";
  EXPECT_THAT(outcome.output, HasSubstr(told));
  EXPECT_EQ(outcome.output.find(told), outcome.output.rfind(told)) << "told more than once";
}

}  // namespace
}  // namespace vesalius::trainer
