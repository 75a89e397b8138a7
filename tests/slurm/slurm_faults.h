// What the tests of faults under Slurm share: a cluster, trainings on it, and the verdict.
#pragma once

#include <algorithm>
#include <map>

#include "tests/slurm/cluster.h"

namespace vesalius {

// Every test leaves unless Slurm is wanted; then it has a cluster of four nodes of its own.
class SlurmFaults : public testing::Test {
 protected:
  void SetUp() override {
    VESALIUS_NEEDS_SLURM();
    cluster_ = std::make_unique<Cluster>();
    training_ = std::make_unique<SlurmTraining>(*cluster_);
  }

  // The parameters of a run of the same words that nothing disturbed.
  std::string Undisturbed(int steps) {
    const Outcome outcome = cluster_->Shell("srun --mpi=pmix --nodes=2 --ntasks-per-node=1 " +
                                            ProgramLine(training_->Words("undisturbed", steps)));
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    return trainer::ParametersDigest(training_->run("undisturbed"));
  }

  // The run ends by itself within `seconds`, with the parameters of an undisturbed one.
  void ExpectSameEnd(const std::string& name, int steps, int seconds) {
    ASSERT_TRUE(training_->Finish(name, seconds)) << Told(name);
    EXPECT_EQ(trainer::ParametersDigest(training_->run(name)), Undisturbed(steps)) << Told(name);
    EXPECT_TRUE(trainer::Metrics(training_->run(name)).size() == static_cast<std::size_t>(steps));
  }

  // No step was trained twice: a resumed run moves those aside to metrics.jsonl.N.
  void ExpectNoStepLost(const std::string& name) {
    for (const std::string& file : ListDir(training_->run(name)))
      EXPECT_FALSE(file.starts_with("metrics.jsonl.")) << "steps were lost\n" << Told(name);
  }

  std::string Told(const std::string& name) const {
    return training_->Output(name) + cluster_->Shell("squeue --states=all; sinfo -N").output;
  }
  std::string Watch(const std::string& name) const {
    return cluster_->Program("watch --once " + training_->run(name)).output;
  }
  int Attempts(const std::string& name) const {
    return static_cast<int>(ListDir(training_->run(name) + "/attempts").size());
  }
  bool WaitState(const std::string& job, const std::string& state, int seconds) const {
    return WaitSlowly([&] { return cluster_->Field(job, "JobState") == state; }, seconds);
  }

  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<SlurmTraining> training_;
};

}  // namespace vesalius
