// `vesalius watch`: how a run is doing, from its folder and Slurm's queue alone. Nothing of the run
// is touched, and no rank is asked.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace vesalius::slurm {

// An object with `state` (running, queued, stopped, finished, lost: unfinished and nothing of it
// runs or waits), `why`, `step`, `steps` (of the plan), `samples_per_s`, `step_s`, `eta_s`,
// `committed_step` with `committed_age_s`, `last_step_age_s`, `time_left_s` of the job, `jobs`,
// `generation`, `attempt`, `faults` (by kind), `stragglers` (ranks, with their score), `bad_nodes`.
// What is not known is absent. Error(kInputMissing) when `run` is no run folder.
nlohmann::ordered_json WatchRun(const std::string& run);

// The same for people: a few lines.
std::string WatchText(const nlohmann::ordered_json& watch);

}  // namespace vesalius::slurm
