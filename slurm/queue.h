// What Slurm's queue says of jobs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vesalius::slurm {

struct Job {
  std::string id, state, reason, nodes;  // state and reason in Slurm's words: RUNNING, Dependency
  std::int64_t end = 0;                  // seconds since 1970 when its time is over; 0 unknown
  bool alive() const;                    // not over yet
};

// Those of the jobs that Slurm still knows (ended ones are forgotten after some minutes). Empty
// without squeue or ids; Error(kPeerLost) when the controller does not answer.
std::vector<Job> QueryJobs(const std::vector<std::string>& ids);

}  // namespace vesalius::slurm
