// A Slurm cluster of its own for a test (cluster.sh), and trainings that are submitted to it.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tests/trainer/training.h"
#include "tests/util/program.h"
#include "tests/util/temp_dir.h"

// Leaves the test, saying so, where no cluster is wanted.
#define VESALIUS_NEEDS_SLURM()                  \
  if (std::getenv("VESALIUS_SLURM") == nullptr) \
  GTEST_SKIP() << "Slurm tests run with ./run test --slurm"

namespace vesalius {

class Cluster {
 public:
  explicit Cluster(int nodes = 4) {
    ::setenv("VESALIUS_CLUSTER", (dir_.path() + "/c").c_str(), 1);
    const Outcome up = Script("up " + std::to_string(nodes));
    EXPECT_EQ(up.status, 0) << up.output;
  }
  ~Cluster() { Script("down"); }

  // cluster.sh: kill, crash, freeze, thaw, start NODE.
  Outcome Script(const std::string& words) const {
    return vesalius::Shell("bash \"$VESALIUS_SOURCE/tests/slurm/cluster.sh\" " + words);
  }
  // Shell lines in which sbatch, srun, ... are this cluster's.
  Outcome Shell(const std::string& lines) const {
    return vesalius::Shell("eval \"$(bash \"$VESALIUS_SOURCE/tests/slurm/cluster.sh\" env)\"\n" +
                           lines);
  }
  Outcome Program(const std::string& arguments) const { return Shell(ProgramLine(arguments)); }

  // `vesalius submit`; the ids of the jobs.
  std::vector<std::string> Submit(const std::string& arguments) const {
    const Outcome outcome = Program("submit " + arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    const std::string first = Split(outcome.output, '\n')[0];
    const std::size_t colon = first.find(": ");
    return colon == std::string::npos ? std::vector<std::string>()
                                      : Split(first.substr(colon + 2), ' ');
  }

  // A field of `scontrol show job`, e.g. JobState; "" for a job that Slurm has forgotten.
  std::string Field(const std::string& job, const std::string& name) const {
    return Trimmed(Shell("scontrol --oneliner show job " + job + " 2> /dev/null | tr ' ' '\\n' | " +
                         "sed -n 's/^" + name + "=//p' | head -n 1"));
  }
  std::vector<std::string> NodesOf(const std::string& job) const {
    return Split(Trimmed(Shell("scontrol show hostnames \"" + Field(job, "NodeList") + "\"")),
                 '\n');
  }
  std::string NodeState(const std::string& node) const {
    return Trimmed(
        Shell("scontrol --oneliner show node " + node + " | tr ' ' '\\n' | sed -n 's/^State=//p'"));
  }
  // All jobs are over.
  bool WaitEmpty(int seconds) const;
  // A file that makes the prolog refuse `node`, or the health check drain it.
  void Flag(const std::string& kind, const std::string& node) const {
    WriteFileAtomic(dir_.path() + "/c/flags/" + kind + "." + node, "test\n");
  }

 private:
  static std::string Trimmed(const Outcome& outcome) { return std::string(Trim(outcome.output)); }
  TempDir dir_;
};

// Asks every second, since Slurm's words for nodes stick when they are asked for faster.
template <typename Condition>
bool WaitSlowly(const Condition& condition, int seconds) {
  for (int s = 0; s < seconds; ++s) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  return false;
}

inline bool Cluster::WaitEmpty(int seconds) const {
  return WaitSlowly([&] { return Trimmed(Shell("squeue --noheader")).empty(); }, seconds);
}

// Trainings on a cluster: one data set, runs beside it.
class SlurmTraining {
 public:
  explicit SlurmTraining(const Cluster& cluster) : cluster_(cluster) {}

  std::string run(const std::string& name) const { return training_.run(name); }
  std::string Words(const std::string& name, int steps, const std::string& more = "") const {
    return StrCat("pretrain --preset tiny --data ", training_.data(), " --run ", run(name),
                  " --set trainer.threads=1 --set trainer.checkpoint_every=20",
                  " --set dist.deadline=20 --set trainer.steps=", steps, " ", more);
  }
  // The ids of the jobs. Every step takes 50 ms at least: whatever befalls the cluster, it befalls
  // a running job, however quick the machine is.
  std::vector<std::string> Submit(const std::string& options, const std::string& words) const {
    return cluster_.Submit(StrCat("--nodes 2 --ranks-per-node 1 --signal-margin 60 ", options,
                                  " -- ", words, " --fault slow@1:0:always"));
  }
  std::int64_t Step(const std::string& name) const {
    const auto lines = trainer::Metrics(run(name));
    return lines.empty() ? 0 : lines.back().value("step", std::int64_t{0});
  }
  bool Reach(const std::string& name, std::int64_t step, int seconds = 60) const {
    return WaitUntil(
        [&] {
          std::this_thread::sleep_for(std::chrono::milliseconds(100));
          return Step(name) >= step;
        },
        seconds);
  }
  bool Finish(const std::string& name, int seconds) const {
    return WaitSlowly([&] { return Exists(run(name) + "/DONE"); }, seconds);
  }
  // Everything that the jobs of the run's newest submission wrote.
  std::string Output(const std::string& name) const {
    return Shell("cat " + run(name) + "/slurm/*/job-*.log").output;
  }
  // Steps from which the attempts went on, in order.
  std::vector<std::int64_t> Resumed(const std::string& name) const {
    std::vector<std::int64_t> steps;
    const std::string output = Output(name);
    for (std::size_t at = 0; (at = output.find("(step ", at)) != std::string::npos; ++at)
      steps.push_back(std::atoll(output.c_str() + at + 6));
    return steps;
  }

 private:
  const Cluster& cluster_;
  trainer::Training training_{/*samples=*/80};
};

}  // namespace vesalius
