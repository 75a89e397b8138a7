// The batch script of a training: slurm/batch.sh, filled in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vesalius::slurm {

struct JobOptions {
  std::string run;                    // absolute
  std::vector<std::string> training;  // the words after `vesalius`: pretrain ...
  int nodes = 1, ranks_per_node = 1;
  int spares = 0;    // further nodes, for when one is lost
  std::string time;  // as sbatch takes it
  std::string partition, account, exclude;
  int margin_s = 0;                   // the signal comes so long before the time limit
  bool requeue = false;               // one job that goes back to the queue, instead of a chain
  std::vector<std::string> sbatch;    // further options, as they are
  std::vector<std::string> prologue;  // shell lines ahead of everything: module load ...
  std::string container;              // words ahead of the program: apptainer exec --nv IMAGE
  std::string program;                // `vesalius` as the nodes find it
  std::string name;                   // of the jobs
  std::string chain;                  // folder of this submission
  std::string folder;                 // where relative paths of `training` begin
};

// The whole script. Error(kUsage) for a folder or a name that a directive of sbatch cannot carry.
std::string RenderBatchScript(const JobOptions& options);

// A time limit of Slurm in seconds: minutes, m:s, h:m:s, d-h, d-h:m, d-h:m:s. Error(kUsage) for
// anything else, and for no limit at all.
std::int64_t ParseTimeLimit(const std::string& text);

}  // namespace vesalius::slurm
