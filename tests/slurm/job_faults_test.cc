// Faults of the job: its time ends, somebody takes it away, somebody wants the nodes more. Nothing
// is ever lost.
#include "tests/slurm/slurm_faults.h"

namespace vesalius {
namespace {

constexpr int kSteps = 400;

TEST_F(SlurmFaults, F16_TimeLimit) {
  constexpr int kLong = 1200;
  const auto jobs = training_->Submit("--time 2 --signal-margin 75 --generations 8",
                                      training_->Words("run", kLong));
  ASSERT_EQ(jobs.size(), 8u);
  ASSERT_TRUE(training_->Reach("run", 1)) << Told("run");
  EXPECT_NE(Watch("run").find("running: job " + jobs[0]), std::string::npos) << Watch("run");
  ExpectSameEnd("run", kLong, 240);
  ExpectNoStepLost("run");
  EXPECT_GE(Attempts("run"), 2) << "the limit was never met: more steps are needed";
  EXPECT_NE(training_->Output("run").find("asked to leave"), std::string::npos);
  EXPECT_NE(Watch("run").find("finished"), std::string::npos) << Watch("run");
  EXPECT_TRUE(WaitState(jobs[7], "CANCELLED", 20)) << "the rest of the chain waits still";
}

TEST_F(SlurmFaults, F17_SignalLost) {
  constexpr int kLong = 600;
  training_->Submit("--time 1 --signal-margin 30 --generations 8 --sbatch=--signal=B:CONT@1",
                    training_->Words("run", kLong));
  ExpectSameEnd("run", kLong, 240);
  ExpectNoStepLost("run");
  EXPECT_GE(Attempts("run"), 2) << "the limit was never met: more steps are needed";
  EXPECT_NE(training_->Output("run").find("(the job's time ends in"), std::string::npos);
  EXPECT_EQ(training_->Output("run").find("asked to leave"), std::string::npos);
}

TEST_F(SlurmFaults, F18_CancelAndStopFile) {
  const auto jobs = training_->Submit("--time 10", training_->Words("run", kSteps));
  ASSERT_EQ(jobs.size(), 4u);
  ASSERT_TRUE(training_->Reach("run", 30)) << Told("run");
  cluster_->Shell("scancel " + jobs[0]);
  ASSERT_TRUE(WaitSlowly([&] { return Attempts("run") == 2; }, 30)) << Told("run");
  ASSERT_TRUE(training_->Reach("run", 150)) << Told("run");
  WriteFileAtomic(training_->run("run") + "/STOP", "");
  ASSERT_TRUE(WaitState(jobs[3], "CANCELLED", 30)) << Told("run");
  EXPECT_NE(Watch("run").find("stopped"), std::string::npos) << Watch("run");
  RemoveTree(training_->run("run") + "/STOP");
  EXPECT_NE(Watch("run").find("lost: unfinished"), std::string::npos) << Watch("run");
  training_->Submit("--time 10", training_->Words("run", kSteps));
  ExpectSameEnd("run", kSteps, 120);
  ExpectNoStepLost("run");
}

TEST_F(SlurmFaults, F18_RequeueAndHold) {
  const auto jobs = training_->Submit("--time 10 --requeue", training_->Words("run", kSteps));
  ASSERT_EQ(jobs.size(), 1u);
  ASSERT_TRUE(training_->Reach("run", 30)) << Told("run");
  EXPECT_EQ(cluster_->Shell("scontrol requeue " + jobs[0]).status, 0);
  ASSERT_TRUE(WaitSlowly([&] { return Attempts("run") == 2; }, 60)) << Told("run");
  ASSERT_TRUE(training_->Reach("run", 150)) << Told("run");
  EXPECT_EQ(cluster_->Shell("scontrol requeuehold " + jobs[0]).status, 0);
  ASSERT_TRUE(WaitSlowly(
      [&] { return cluster_->Field(jobs[0], "Reason") == "job_requeued_in_held_state"; }, 30))
      << Told("run");
  EXPECT_NE(Watch("run").find("queued"), std::string::npos) << Watch("run");
  EXPECT_EQ(cluster_->Shell("scontrol release " + jobs[0]).status, 0);
  ExpectSameEnd("run", kSteps, 120);
  ExpectNoStepLost("run");
}

// The intruder wants all nodes for some seconds.
class Preemption : public SlurmFaults {
 protected:
  void Run(const std::string& partition) {
    training_->Submit("--time 10 --partition " + partition, training_->Words("run", kSteps));
    ASSERT_TRUE(training_->Reach("run", 60)) << Told("run");
    const Outcome intruder = cluster_->Shell(
        "sbatch --parsable --partition=urgent --nodes=4 --exclusive --time=1 --output=/dev/null "
        "--wrap='sleep 3'");
    ASSERT_EQ(intruder.status, 0) << intruder.output;
    ExpectSameEnd("run", kSteps, 180);
    ExpectNoStepLost("run");
    EXPECT_GE(Attempts("run"), 2) << Told("run");
  }
};

TEST_F(Preemption, F19_WithGrace) { Run("train"); }
TEST_F(Preemption, F19_WithoutGrace) { Run("strict"); }

}  // namespace
}  // namespace vesalius
