// Faults of the cluster: nodes that freeze, die, are drained or refused, and the controller's
// death.
#include "slurm/bad_nodes.h"
#include "tests/slurm/slurm_faults.h"

namespace vesalius {
namespace {

// Enough for what Slurm takes to notice a dead node (half a minute), or the batch script a drained
// one (20 s).
constexpr int kLong = 900, kSteps = 400;

class NodeFaults : public SlurmFaults {
 protected:
  // A chain of `steps` that has come to `step`; its first job's nodes.
  std::vector<std::string> Begin(int steps, std::int64_t step, const std::string& options = "") {
    jobs_ = training_->Submit("--time 10 " + options, training_->Words("run", steps));
    EXPECT_TRUE(training_->Reach("run", step)) << Told("run");
    return cluster_->NodesOf(jobs_.at(0));
  }
  bool WaitAttempt(int attempt, int seconds) const {
    return WaitSlowly([&] { return Attempts("run") >= attempt; }, seconds);
  }
  bool Avoided(const std::string& node) const {
    for (const auto& bad : slurm::ReadBadNodes(training_->run("run")))
      if (bad.node == node) return true;
    return false;
  }
  std::vector<std::string> jobs_;
};

// Its successor trains while the frozen node wakes up: it changes nothing.
TEST_F(NodeFaults, F13_FrozenNodeWakes) {
  const std::vector<std::string> nodes = Begin(kLong, 60);
  cluster_->Script("freeze " + nodes.at(1));
  ASSERT_TRUE(WaitAttempt(2, 120)) << Told("run");
  ASSERT_TRUE(training_->Reach("run", 150)) << Told("run");
  cluster_->Script("thaw " + nodes.at(1));
  ExpectSameEnd("run", kLong, 120);
  EXPECT_EQ(Attempts("run"), 2) << "the successor was disturbed\n" << Told("run");
}

// The same with the node of rank 0 and of the batch script, which owned the run's folder.
TEST_F(NodeFaults, F13_FrozenOwnerWakes) {
  const std::vector<std::string> nodes = Begin(kLong, 60);
  cluster_->Script("freeze " + nodes.at(0));
  ASSERT_TRUE(WaitAttempt(2, 120)) << Told("run");
  ASSERT_TRUE(training_->Reach("run", 150)) << Told("run");
  const int attempts = Attempts("run");
  cluster_->Script("thaw " + nodes.at(0));
  ExpectSameEnd("run", kLong, 180);
  EXPECT_EQ(Attempts("run"), attempts) << "the successor was disturbed\n" << Told("run");
}

TEST_F(NodeFaults, F14_DaemonDiesRanksLive) {
  const std::vector<std::string> nodes = Begin(kLong, 60);
  cluster_->Script("kill " + nodes.at(1));
  ExpectSameEnd("run", kLong, 180);
}

TEST_F(NodeFaults, F15_PowerCut) {
  const std::vector<std::string> nodes = Begin(kLong, 60);
  cluster_->Script("crash " + nodes.at(1));
  ASSERT_TRUE(WaitAttempt(2, 120)) << Told("run");
  ExpectSameEnd("run", kLong, 120);
  for (const std::int64_t step : training_->Resumed("run")) EXPECT_GE(step, 60 - 20);
}

// The spare takes the node's place in the same allocation, before Slurm knows of the loss.
TEST_F(NodeFaults, F15_PowerCutWithSpare) {
  const std::vector<std::string> nodes = Begin(kSteps, 60, "--spares 1");
  const auto begin = std::chrono::steady_clock::now();
  cluster_->Script("crash " + nodes.at(1));
  ASSERT_TRUE(WaitAttempt(2, 60)) << Told("run");
  const std::int64_t step = training_->Step("run");
  ASSERT_TRUE(training_->Reach("run", step + 1)) << Told("run");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::cout << "stepping again after " << took.count() << " s\n";
  EXPECT_LE(took.count(), 15);
  ExpectSameEnd("run", kSteps, 120);
  EXPECT_EQ(cluster_->Field(jobs_.at(0), "JobState"), "COMPLETED") << Told("run");
}

// The node with the batch script, and so with rank 0.
TEST_F(NodeFaults, F15_PowerCutOfTheFirst) {
  const std::vector<std::string> nodes = Begin(kLong, 60);
  cluster_->Script("crash " + nodes.at(0));
  ASSERT_TRUE(WaitAttempt(2, 120)) << Told("run");
  EXPECT_TRUE(Avoided(nodes.at(0))) << Told("run");
  ExpectSameEnd("run", kLong, 120);
}

TEST_F(NodeFaults, F20_DrainedUnderTheJob) {
  const std::vector<std::string> nodes = Begin(600, 40);
  cluster_->Shell("scontrol update nodename=" + nodes.at(1) + " state=drain reason=test");
  ASSERT_TRUE(WaitAttempt(2, 60)) << Told("run");
  const std::vector<std::string> now = cluster_->NodesOf(jobs_.at(1));
  EXPECT_EQ(std::count(now.begin(), now.end(), nodes.at(1)), 0);
  ExpectSameEnd("run", 600, 120);
  ExpectNoStepLost("run");
}

// Two of four nodes are bad: others are used, and the job is not held.
TEST_F(NodeFaults, F21_PrologAndHealthCheck) {
  cluster_->Flag("prolog", "n1");
  cluster_->Flag("health", "n2");
  ASSERT_TRUE(
      WaitSlowly([&] { return cluster_->NodeState("n2").find("DRAIN") != std::string::npos; }, 30));
  training_->Submit("--time 10", training_->Words("run", kSteps));
  ExpectSameEnd("run", kSteps, 120);
  EXPECT_EQ(Attempts("run"), 1) << Told("run");
}

TEST_F(NodeFaults, F22_ControllerDies) {
  Begin(kSteps, 20);
  std::this_thread::sleep_for(std::chrono::seconds(7));  // its state reaches the disk by then
  cluster_->Script("kill controller");
  const std::int64_t step = training_->Step("run");
  ASSERT_TRUE(training_->Reach("run", step + 40)) << Told("run");
  EXPECT_EQ(cluster_->Script("start controller").status, 0);
  ExpectSameEnd("run", kSteps, 120);
  EXPECT_EQ(Attempts("run"), 1) << Told("run");
}

}  // namespace
}  // namespace vesalius
