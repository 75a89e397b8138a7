// `vesalius submit`: a training as a chain of batch jobs. Each submission is a folder
// RUN/slurm/N with batch.sh, the ids of its jobs (`jobs`, one a line), their output
// (job-ID.log), `nodes` (those of the job that ran last) and `ended` (why no further one
// starts).
#pragma once

#include <string>
#include <vector>

#include "slurm/script.h"

namespace vesalius::slurm {

// Folders of a run's submissions, newest first.
std::vector<std::string> ListChains(const std::string& run);

// Ids of a submission's jobs, in order.
std::vector<std::string> JobsOf(const std::string& chain);

// Seconds before the limit at which the signal has to come: 60 for Slurm's slack, two saves, a
// step, and 30; from what the run's earlier saves and steps took (RUN/pace.json), or 15 s a save.
int LearnedMargin(const std::string& run);

// Fills in name, chain folder, margin (when 0) and bad nodes of `options`.
void Prepare(JobOptions* options);

// Writes the script, has `sbatch --test-only` check it, and submits `generations` jobs. Returns
// their ids. Errors: kConfig when Slurm refuses (with its words), or when jobs of an earlier
// submission are still in the queue; kInputMissing without sbatch.
std::vector<std::string> Submit(const JobOptions& options, int generations);

}  // namespace vesalius::slurm
