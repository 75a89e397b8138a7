// Faults of a batch system for the storm: the run moves to a Slurm cluster of four nodes for a
// while (tests/slurm/cluster.sh), where its nodes freeze, die or are drained, its daemons and its
// controller are killed, its time ends or it is cancelled.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/slurm/cluster.h"

namespace vesalius::launch {

enum class SlurmFault {
  kFreeze,      // F13
  kDaemon,      // F14
  kPowerCut,    // F15
  kTimeLimit,   // F16
  kCancel,      // F18
  kDrain,       // F20
  kController,  // F22
};
inline constexpr int kSlurmFaults = 7;

class StormCluster {
 public:
  // Submits the run; its training is `words`.
  void Submit(SlurmFault fault, const std::string& run, const std::string& words) {
    run_ = run;
    const bool short_time = fault == SlurmFault::kTimeLimit;
    job_ = cluster_
               .Submit(StrCat(
                   "--nodes 2 --ranks-per-node 1 --generations 3 ",
                   short_time ? "--time 1 --signal-margin 35" : "--time 20 --signal-margin 60",
                   " -- ", words))
               .at(0);
  }

  // Lets the fault happen to the job that runs; what it is.
  std::string Strike(SlurmFault fault) {
    nodes_ = cluster_.NodesOf(job_);
    const std::string last = nodes_.back();
    switch (fault) {
      case SlurmFault::kFreeze:
        cluster_.Script("freeze " + last);
        return "freeze of node " + last;
      case SlurmFault::kDaemon:
        cluster_.Script("kill " + last);
        return "kill of the daemon of node " + last;
      case SlurmFault::kPowerCut:
        cluster_.Script("crash " + nodes_.front());
        return "power cut of node " + nodes_.front();
      case SlurmFault::kTimeLimit:
        return "time limit";
      case SlurmFault::kCancel:
        cluster_.Shell("scancel " + job_);
        return "scancel";
      case SlurmFault::kDrain:
        cluster_.Shell("scontrol update nodename=" + last + " state=drain reason=storm");
        return "drain of node " + last;
      case SlurmFault::kController:
        cluster_.Script("kill controller");
        return "kill of the controller";
    }
    return "";
  }

  // Mends what the fault broke, and ends the job and what waits behind it.
  bool End(SlurmFault fault) {
    if (fault == SlurmFault::kController) cluster_.Script("start controller");
    if (fault == SlurmFault::kFreeze) cluster_.Script("thaw " + nodes_.back());
    WriteFileAtomic(run_ + "/STOP", "");
    const bool ended = cluster_.WaitEmpty(120);
    RemoveTree(run_ + "/STOP");
    if (fault == SlurmFault::kDaemon) cluster_.Script("start " + nodes_.back());
    if (fault == SlurmFault::kPowerCut) cluster_.Script("start " + nodes_.front());
    return ended && WaitSlowly([&] { return Idle() == 4; }, 90);
  }

  std::string Told() const {
    return Shell("cat " + run_ + "/slurm/*/job-*.log").output +
           cluster_.Shell("squeue --states=all; sinfo -N").output;
  }

 private:
  // Nodes that can be used again, once a site's admin has looked at those that were drained: by us,
  // or by Slurm itself, when what ran on them could not be ended.
  int Idle() const {
    cluster_.Shell(
        "for node in $(sinfo --noheader --Node --partition=train --states=drain --format=%N); do "
        "scontrol update nodename=$node state=resume; done");
    return std::atoi(
        cluster_.Shell("sinfo --noheader --Node --partition=train --format=%T | grep -c idle")
            .output.c_str());
  }

  Cluster cluster_;
  std::string run_, job_;
  std::vector<std::string> nodes_;
};

}  // namespace vesalius::launch
