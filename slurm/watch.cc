#include "slurm/watch.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include "base/command.h"
#include "base/error.h"
#include "base/file.h"
#include "slurm/bad_nodes.h"
#include "slurm/queue.h"
#include "slurm/run_state.h"
#include "slurm/submit.h"

namespace vesalius::slurm {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kFresh = 120;  // seconds since a sign of life of a run without Slurm

// "1 d 02:03:04", "03:04".
std::string Duration(double seconds) {
  const auto s = static_cast<std::int64_t>(std::max(0.0, seconds));
  const auto two = [](std::int64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  if (s < 60) return StrCat(s, " s");
  std::string minutes = two(s / 60 % 60) + ":" + two(s % 60);
  if (s < 3600) return minutes;
  const std::string hours = two(s / 3600 % 24) + ":" + minutes;
  return s < 86400 ? hours : StrCat(s / 86400, " d ", hours);
}

std::vector<Job> JobsOfRun(const std::string& run) {
  const std::vector<std::string> chains = ListChains(run);
  return chains.empty() ? std::vector<Job>{} : QueryJobs(JobsOf(chains[0]));
}

void AddState(const std::string& run, const std::vector<Job>& jobs,
              const std::optional<Progress>& progress, Json* watch) {
  const auto first = [&](const char* state) {
    return std::find_if(jobs.begin(), jobs.end(), [&](const Job& j) { return j.state == state; });
  };
  const auto set = [&](const char* state, const std::string& why) {
    (*watch)["state"] = state;
    (*watch)["why"] = why;
  };
  const std::vector<std::string> chains = ListChains(run);
  const double step_s = progress ? progress->step_s : 0;
  double patience = std::max(kFresh, 10 * step_s);
  for (const Job& job : jobs)  // signs of life from before its end are none
    if (job.end > 0 && !job.alive())
      patience = std::min(patience, static_cast<double>(std::time(nullptr) - job.end));
  if (const auto job = first("RUNNING"); job != jobs.end()) {
    set("running", StrCat("job ", job->id, " on ", job->nodes));
    if (job->end > 0) (*watch)["time_left_s"] = job->end - std::time(nullptr);
  } else if (Exists(run + "/DONE")) {
    set("finished", "all steps are done");
  } else if (Exists(run + "/STOP")) {
    set("stopped", "STOP is there; remove it to go on");
  } else if (const auto waiting =
                 std::find_if(jobs.begin(), jobs.end(), [](const Job& job) { return job.alive(); });
             waiting != jobs.end()) {
    set("queued",
        StrCat("job ", waiting->id, " is ", Lower(waiting->state), ": ", waiting->reason));
  } else if (HasLife(run, patience)) {  // by hand, or Slurm cannot be asked here
    set("running", progress && progress->age_s < patience ? "steps come" : "it has just begun");
  } else {
    const std::string ended = chains.empty() ? "" : chains[0] + "/ended";
    const bool asked = chains.empty() || HaveProgram("squeue");
    set("lost", StrCat("unfinished, and ",
                       asked ? "no job of it runs or waits"
                             : "no sign of life; no squeue here tells of jobs",
                       !ended.empty() && Exists(ended)
                           ? StrCat(" (its chain ended: ", Trim(ReadFile(ended)), ")")
                           : ""));
  }
}

void AddProgress(const Progress& progress, Json* watch) {
  (*watch)["step"] = progress.step;
  if (progress.steps > 0) (*watch)["steps"] = progress.steps;
  (*watch)["last_step_age_s"] = progress.age_s;
  if (progress.step_s > 0) {
    (*watch)["samples_per_s"] = progress.samples_per_s;
    (*watch)["step_s"] = progress.step_s;
    if (progress.steps > 0)
      (*watch)["eta_s"] = static_cast<double>(progress.steps - progress.step) * progress.step_s;
  }
  Json stragglers = Json::array();
  for (const auto& [rank, score] : progress.stragglers)
    stragglers.push_back({{"rank", rank}, {"score", score}});
  (*watch)["stragglers"] = stragglers;
}

}  // namespace

Json WatchRun(const std::string& run) {
  Require(Exists(run + "/ATTEMPT") || Exists(run + "/slurm"), ExitCode::kInputMissing, run,
          " is no run folder: pretrain and submit make one");
  Json watch = {{"run", run}};
  const std::vector<Job> jobs = JobsOfRun(run);
  const auto progress = ReadProgress(run);
  AddState(run, jobs, progress, &watch);
  if (progress) AddProgress(*progress, &watch);
  if (const auto commit = ReadCommit(run)) {
    watch["committed_step"] = commit->step;
    watch["committed_age_s"] = commit->age_s;
  }
  if (Exists(run + "/ATTEMPT")) {
    const std::vector<std::string> token = Split(ReadFile(run + "/ATTEMPT"), '/');
    if (token.size() == 3) {
      watch["generation"] = std::atoi(token[1].c_str());
      watch["attempt"] = std::atoi(token[2].c_str());
    }
  }
  Json list = Json::array();
  for (const Job& job : jobs)
    list.push_back({{"id", job.id}, {"state", job.state}, {"nodes", job.nodes}});
  watch["jobs"] = list;
  watch["faults"] = CountFaults(run);
  Json bad = Json::array();
  for (const BadNode& node : ReadBadNodes(run))
    if (node.until > std::time(nullptr)) bad.push_back(node.node);
  watch["bad_nodes"] = bad;
  return watch;
}

std::string WatchText(const Json& watch) {
  std::string text =
      StrCat(watch["state"].get<std::string>(), ": ", watch["why"].get<std::string>(), "\n");
  const auto number = [&](const char* key) { return watch.value(key, 0.0); };
  if (watch.contains("step")) {
    text += StrCat("step ", watch["step"].dump());
    if (watch.contains("steps")) text += StrCat(" of ", watch["steps"].dump());
    text += StrCat(", the last ", Duration(number("last_step_age_s")), " ago");
    if (watch.contains("samples_per_s"))
      text += StrCat("; ", Fixed(number("samples_per_s"), 1), " samples/s, ",
                     Fixed(number("step_s"), 3), " s a step");
    if (watch.contains("eta_s")) text += StrCat("; ", Duration(number("eta_s")), " to go");
    text += "\n";
  }
  if (watch.contains("committed_step"))
    text += StrCat("committed: step ", watch["committed_step"].dump(), ", ",
                   Duration(number("committed_age_s")), " ago\n");
  if (watch.contains("time_left_s"))
    text += StrCat("the job's time ends in ", Duration(number("time_left_s")), "\n");
  if (watch.contains("attempt"))
    text += StrCat("generation ", watch["generation"].dump(), ", attempt ", watch["attempt"].dump(),
                   "\n");
  for (const Json& straggler : watch.value("stragglers", Json::array()))
    text += StrCat("straggler: rank ", straggler["rank"].dump(), ", score ",
                   Fixed(straggler["score"].get<double>(), 2), "\n");
  for (const auto& [name, count] : watch["faults"].items())
    text += StrCat("faults so far: ", name, " ", count.dump(), "\n");
  for (const Json& node : watch["bad_nodes"])
    text += StrCat("avoided node: ", node.get<std::string>(), "\n");
  return text;
}

}  // namespace vesalius::slurm
