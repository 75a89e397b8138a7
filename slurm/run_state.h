// What a run's folder tells of its progress, without asking any rank.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace vesalius::slurm {

struct Progress {
  std::int64_t step = 0, steps = 0;                // done, and of the plan; 0 unknown
  double samples_per_s = 0, step_s = 0;            // mean of the last steps
  double age_s = 0;                                // since the last step
  std::vector<std::pair<int, double>> stragglers;  // rank, score < 0.7: half as fast is 0.5
};

// From the end of RUN/metrics.jsonl and the newest attempt's configuration; nothing before the
// first step. The score of a rank is the median over all ranks of the seconds that they do not
// wait for others, divided by its own: waiting is a symptom of somebody else.
std::optional<Progress> ReadProgress(const std::string& run);

struct Commit {
  std::int64_t step = 0;
  double age_s = 0;
};
// The newest committed step.
std::optional<Commit> ReadCommit(const std::string& run);

// Whether ranks or an agent began, or wrote to the run record, in the last `within` seconds, and
// did not end since. For runs that Slurm knows nothing of.
bool HasLife(const std::string& run, double within);

// Failures in the run's events, by name: what ranks and agents recorded so far. What several ranks
// tell of one step counts once.
std::map<std::string, int> CountFaults(const std::string& run);

}  // namespace vesalius::slurm
