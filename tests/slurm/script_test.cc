// The batch script, time limits, nodes to avoid, what a run's folder tells: without any Slurm.
#include "slurm/script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/command.h"
#include "base/file.h"
#include "slurm/bad_nodes.h"
#include "slurm/run_state.h"
#include "slurm/submit.h"
#include "slurm/watch.h"
#include "tests/util/message_of.h"
#include "tests/util/program.h"
#include "tests/util/temp_dir.h"

namespace vesalius::slurm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

JobOptions Sample() {
  JobOptions options;
  options.run = "/data/run-1";
  options.training = {"pretrain",        "--run",   options.run, "--set",
                      "trainer.lr=1e-4", "$(rm x)", "it's"};
  options.nodes = 2;
  options.ranks_per_node = 4;
  options.time = "12:00:00";
  options.margin_s = 120;
  options.program = "/opt/vesalius/bin/vesalius";
  options.name = "vesalius-run-abc";
  options.chain = options.run + "/slurm/1";
  options.folder = "/data";
  return options;
}

TEST(BatchScriptTest, IsCleanForShellcheckAndBash) {
  if (!HaveProgram("shellcheck")) GTEST_SKIP() << "shellcheck is not installed";
  const TempDir dir;
  JobOptions options = Sample();
  for (const bool requeue : {false, true}) {
    options.requeue = requeue;
    options.container = requeue ? "apptainer exec --nv image.sif" : "";
    options.prologue =
        requeue ? std::vector<std::string>{"export A=1"} : std::vector<std::string>{};
    const std::string path = dir.path() + "/batch.sh";
    WriteFileAtomic(path, RenderBatchScript(options));
    const Outcome check = Shell("bash -n " + path + " && shellcheck " + path);
    EXPECT_EQ(check.status, 0) << check.output;
  }
}

TEST(BatchScriptTest, SaysWhatWasAskedFor) {
  JobOptions options = Sample();
  options.partition = "gpu";
  options.sbatch = {"--gpus-per-node=4"};
  options.exclude = "node7";
  const std::string script = RenderBatchScript(options);
  for (const char* line :
       {"#SBATCH --nodes=2\n", "#SBATCH --ntasks-per-node=4\n", "#SBATCH --signal=B:USR2@120\n",
        "#SBATCH --dependency=singleton\n", "#SBATCH --no-requeue\n",
        "#SBATCH --open-mode=append\n", "#SBATCH --partition=gpu\n", "#SBATCH --gpus-per-node=4\n",
        "#SBATCH --exclude=node7\n", "launch --ranks 8 --nodes 2 --spares 0 -- "})
    EXPECT_THAT(script, HasSubstr(line));
  EXPECT_THAT(script, HasSubstr("'$(rm x)'"));
  EXPECT_THAT(script, Not(testing::ContainsRegex("@[A-Z]+@")));
  options.requeue = true;
  EXPECT_THAT(RenderBatchScript(options), Not(HasSubstr("singleton")));
}

TEST(BatchScriptTest, NamesThatADirectiveCannotCarryAreRefused) {
  for (const char* name :
       {"/x/a b", "/x/it's", "/x/a\"b", "/x/a#b", "/x/a\nb", "/x/$HOME", "/x/`b`"}) {
    JobOptions options = Sample();
    options.chain = std::string(name) + "/slurm/1";
    EXPECT_THAT(MessageOf(ExitCode::kUsage, [&] { RenderBatchScript(options); }),
                HasSubstr("#SBATCH --output="))
        << name;
  }
  JobOptions options = Sample();
  options.chain = "/x/100%j/slurm/1";
  EXPECT_THAT(RenderBatchScript(options), HasSubstr("--output=/x/100%%j/slurm/1/job-%j.log\n"));
  options.account = "a b";
  EXPECT_THAT(MessageOf(ExitCode::kUsage, [&] { RenderBatchScript(options); }),
              HasSubstr("--account=a b"));
}

TEST(BatchScriptTest, WhatIsFilledInIsNoField) {
  JobOptions options = Sample();
  options.training.push_back("@PROLOGUE@");
  options.prologue = {"echo @RUN@"};
  const std::string script = RenderBatchScript(options);
  EXPECT_THAT(script, HasSubstr(" @PROLOGUE@)"));
  EXPECT_THAT(script, HasSubstr("\necho @RUN@\n"));
}

TEST(BatchScriptTest, APrologueIsNotHeldToOurStrictness) {
  JobOptions options = Sample();
  options.prologue = {"export B=/b:$A"};  // A may not be set
  const std::string script = RenderBatchScript(options);
  EXPECT_LT(script.find("export B=/b:$A\n"), script.find("\nset -u\n"));
}

TEST(BatchScriptTest, WithSparesTheEndOfOneAgentIsNotTheEndOfAll) {
  JobOptions options = Sample();
  EXPECT_THAT(RenderBatchScript(options), HasSubstr("--wait=120"));
  options.spares = 1;
  EXPECT_THAT(RenderBatchScript(options), HasSubstr("--wait=0"));
}

// Runs the script with a Slurm that is made up, and a step that fails.
TEST(BatchScriptTest, AJobThatPutsItselfBackInVainStops) {
  const TempDir dir;
  JobOptions options = Sample();
  options.requeue = true;
  options.run = dir.path() + "/run";
  options.chain = options.run + "/slurm/1";
  MakeDirs(options.chain);
  WriteFileAtomic(options.chain + "/jobs", "7\n");
  WriteFileAtomic(dir.path() + "/batch.sh", RenderBatchScript(options));
  MakeDirs(dir.path() + "/bin");
  const auto fake = [&](const std::string& name, const std::string& lines) {
    WriteFileAtomic(dir.path() + "/bin/" + name, "#!/bin/sh\n" + lines + "\n");
    std::filesystem::permissions(dir.path() + "/bin/" + name, std::filesystem::perms::owner_all);
  };
  fake("srun", "exit 1");
  fake("scontrol", "echo \"$*\" >> " + dir.path() + "/asked");
  fake("sleep", "exec /bin/sleep 0.1");
  for (const char* name : {"sinfo", "squeue", "scancel"}) fake(name, "true");
  const auto run = [&] {
    return Shell("export PATH=" + dir.path() +
                 "/bin:$PATH SLURM_JOB_ID=7 SLURM_JOB_NODELIST=n1 SLURM_JOB_PARTITION=p "
                 "SLURM_JOB_END_TIME=2000000000\nbash " +
                 dir.path() + "/batch.sh");
  };
  for (int failure = 1; failure <= 2; ++failure) EXPECT_EQ(run().status, 1);
  MakeDirs(options.run + "/ckpt/step-00000010");  // something was saved: it counts anew
  for (int failure = 1; failure <= 2; ++failure) EXPECT_EQ(run().status, 1);
  EXPECT_FALSE(Exists(options.chain + "/ended"));
  const Outcome last = run();
  EXPECT_THAT(last.output, HasSubstr("needs a person"));
  EXPECT_EQ(ReadFile(options.chain + "/ended"), "code 1\n");
  EXPECT_EQ(Split(ReadFile(dir.path() + "/asked"), '\n').size(), 4u + 1) << "requeued four times";
}

TEST(BatchScriptTest, TimeLimitsAreSlurms) {
  EXPECT_EQ(ParseTimeLimit("90"), 5400);
  EXPECT_EQ(ParseTimeLimit("2:30"), 150);
  EXPECT_EQ(ParseTimeLimit("12:00:00"), 43200);
  EXPECT_EQ(ParseTimeLimit("1-12"), 129600);
  EXPECT_EQ(ParseTimeLimit("1-0:30"), 88200);
  EXPECT_EQ(ParseTimeLimit("2-1:02:03"), 176523);
  EXPECT_EQ(ParseTimeLimit("99999-0"), 99999ll * 86400);
  for (const char* wrong : {"", "0", "abc", "1:2:3:4", "-5", "1-", "UNLIMITED"})
    EXPECT_THAT(MessageOf(ExitCode::kUsage, [&] { ParseTimeLimit(wrong); }), HasSubstr("--time"))
        << wrong;
}

TEST(BatchScriptTest, MarginFollowsTheSaves) {
  const TempDir dir;
  EXPECT_EQ(LearnedMargin(dir.path()), 120);
  WriteFileAtomic(dir.path() + "/pace.json", R"({"step_s": 2.5, "save_s": 40})");
  EXPECT_EQ(LearnedMargin(dir.path()), 90 + 80 + 3);
  WriteFileAtomic(dir.path() + "/pace.json", R"({"step_s": "2", "save_s": 1e300})");
  EXPECT_EQ(LearnedMargin(dir.path()), 90 + 86400);
  WriteFileAtomic(dir.path() + "/pace.json", R"({"step_s": 2.5, "save_s": 40})");
  JobOptions options = Sample();
  options.run = dir.path();
  options.margin_s = 0;
  options.time = "2";
  EXPECT_THAT(MessageOf(ExitCode::kUsage, [&] { Prepare(&options); }), HasSubstr("--time 2"));
}

TEST(BadNodesTest, AreAvoidedForLongerEachTime) {
  const TempDir dir;
  std::vector<BadNode> nodes;
  AddBadNode(&nodes, "n1", "down", 1000);
  AddBadNode(&nodes, "n2", "code 79", 1000);
  AddBadNode(&nodes, "n1", "down again", 2000);
  WriteBadNodes(dir.path(), nodes);
  const std::vector<BadNode> read = ReadBadNodes(dir.path());
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].count, 2);
  EXPECT_EQ(read[0].reason, "down again");
  EXPECT_EQ(read[0].until, 2000 + 7200);
  EXPECT_EQ(read[1].until, 1000 + 3600);
  for (int i = 0; i < 20; ++i) AddBadNode(&nodes, "n1", "down", 3000);
  EXPECT_EQ(nodes[0].until, 3000 + 24 * 3600);
  WriteFileAtomic(dir.path() + "/slurm/badnodes.json", "{");
  EXPECT_THAT(MessageOf(ExitCode::kInvalidData, [&] { ReadBadNodes(dir.path()); }),
              HasSubstr("badnodes.json"));
}

TEST(BadNodesTest, AFifthOfThePartitionAtMost) {
  std::vector<BadNode> nodes;
  for (const char* name : {"a", "b", "c", "d", "e"}) AddBadNode(&nodes, name, "down", 0);
  AddBadNode(&nodes, "d", "down", 10);
  EXPECT_THAT(NodesToExclude(nodes, 100, 4, 10), ElementsAre("d", "a"));
  EXPECT_THAT(NodesToExclude(nodes, 100, 9, 10), ElementsAre("d"));
  EXPECT_THAT(NodesToExclude(nodes, 100, 10, 10), IsEmpty()) << "or the job could not start";
  EXPECT_THAT(NodesToExclude(nodes, 100, 2, 4), ElementsAre("d")) << "one at least";
  EXPECT_THAT(NodesToExclude(nodes, 5000, 4, 100), ElementsAre("d")) << "the others are over";
}

TEST(BadNodesTest, TheSupervisorsVerdictNamesOne) {
  const TempDir dir;
  EXPECT_EQ(BlamedNode(dir.path()), "");
  WriteFileAtomic(dir.path() + "/failure.json", R"({"token": "", "cause": {"node": "n2"}})");
  EXPECT_EQ(BlamedNode(dir.path()), "n2") << "it failed before any attempt began";
  WriteFileAtomic(dir.path() + "/failure.json",
                  R"({"token": "r/1/2", "cause": {"kind": "hang", "node": "", "host": "n3"}})");
  WriteFileAtomic(dir.path() + "/ATTEMPT", "r/1/2\n");
  EXPECT_EQ(BlamedNode(dir.path()), "n3");
  WriteFileAtomic(dir.path() + "/ATTEMPT", "r/2/3\n");
  EXPECT_EQ(BlamedNode(dir.path()), "") << "an attempt that failed before the newest";
}

TEST(RunStateTest, RateProgressAndStragglers) {
  const TempDir dir;
  std::string lines;
  for (int step = 1; step <= 30; ++step) {
    lines += nlohmann::json{{"step", step},
                            {"samples", step * 8},
                            {"samples_per_s", 16.0},
                            {"comm", {{"waiting", {0.3, 0.3, 0.0, 0.3}}}}}
                 .dump() +
             "\n";
  }
  WriteFileAtomic(dir.path() + "/metrics.jsonl", lines + "{\"step\": 3");
  MakeDirs(dir.path() + "/attempts/2");
  WriteFileAtomic(dir.path() + "/attempts/2/config.txtpb", "trainer {\n  steps: 40\n}\n");
  const auto progress = ReadProgress(dir.path());
  ASSERT_TRUE(progress);
  EXPECT_EQ(progress->step, 30);
  EXPECT_EQ(progress->steps, 40);
  EXPECT_DOUBLE_EQ(progress->step_s, 0.5);
  EXPECT_DOUBLE_EQ(progress->samples_per_s, 16);
  ASSERT_EQ(progress->stragglers.size(), 1u);
  EXPECT_EQ(progress->stragglers[0].first, 2);
  EXPECT_NEAR(progress->stragglers[0].second, 0.4, 1e-9);
}

TEST(RunStateTest, AFaultThatAllRanksTellOfCountsOnce) {
  const TempDir dir;
  MakeDirs(dir.path() + "/events");
  for (int rank = 0; rank < 2; ++rank) {
    const auto line = [&](int step) {
      return StrCat(R"({"rank":)", rank,
                    R"(,"token":"r/1/1","kind":"failure","name":"numbers","step":)", step, "}\n");
    };
    WriteFileAtomic(StrCat(dir.path(), "/events/rank-000", rank, ".jsonl"),
                    line(3) + line(8) + R"({"kind":"failure","name":7,"step":"x","rank":0})");
  }
  EXPECT_EQ(CountFaults(dir.path()).at("numbers"), 2);
}

TEST(RunStateTest, ARunLivesUntilItSaysThatItEnds) {
  const TempDir dir;
  EXPECT_FALSE(HasLife(dir.path(), 60));
  WriteFileAtomic(dir.path() + "/ATTEMPT", "r/1/1\n");
  EXPECT_TRUE(HasLife(dir.path(), 60)) << "it has just begun";
  MakeDirs(dir.path() + "/events");
  WriteFileAtomic(dir.path() + "/events/rank-0000.jsonl", R"({"name":"load"})"
                                                          "\n");
  EXPECT_TRUE(HasLife(dir.path(), 60));
  EXPECT_FALSE(HasLife(dir.path(), 0)) << "that was long ago";
  WriteFileAtomic(dir.path() + "/events/rank-0000.jsonl", R"({"name":"rank.end"})"
                                                          "\n");
  EXPECT_FALSE(HasLife(dir.path(), 60));
}

TEST(RunStateTest, ARunGoneOnByHandIsNotLost) {
  const TempDir dir;
  MakeDirs(dir.path() + "/slurm/1");
  WriteFileAtomic(dir.path() + "/slurm/1/jobs", "");
  EXPECT_EQ(WatchRun(dir.path())["state"], "lost");
  WriteFileAtomic(dir.path() + "/ATTEMPT", "r/2/2\n");
  EXPECT_EQ(WatchRun(dir.path())["state"], "running");
}

TEST(CommandTest, OutputStatusAndTime) {
  const CommandResult said =
      RunCommand({"sh", "-c", "echo out; echo err >&2; exit 3"}, std::chrono::seconds(10));
  EXPECT_EQ(said.status, 3);
  EXPECT_EQ(said.output, "out\n");
  EXPECT_EQ(said.errors, "err\n");
  EXPECT_EQ(RunCommand({"no-such-program"}, std::chrono::seconds(1)).status, 127);
  EXPECT_EQ(RunCommand({"sleep", "30"}, std::chrono::seconds(1)).status, 124);
  EXPECT_EQ(ShellQuote("it's"), "'it'\\''s'");
}

}  // namespace
}  // namespace vesalius::slurm
