#include "slurm/submit.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/command.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json_fields.h"
#include "slurm/bad_nodes.h"
#include "slurm/queue.h"

namespace vesalius::slurm {
namespace {

constexpr double kUnknownSave = 15, kLongestLearned = 86400;  // seconds
constexpr auto kLimit = std::chrono::seconds(60);

std::string LastLine(const std::string& text) {
  const std::vector<std::string> lines = Split(Trim(text), '\n');
  return lines.back();
}

// Nodes of a partition ("": the default one); 0 when Slurm does not say.
int NodesOfPartition(const std::string& partition) {
  std::vector<std::string> words = {"sinfo", "--noheader", "--format=%P %D"};
  if (!partition.empty()) words.push_back("--partition=" + partition);
  int nodes = 0;
  for (const std::string& line : Split(RunCommand(words, kLimit).output, '\n')) {
    const std::size_t space = line.find(' ');
    if (space == std::string::npos) continue;
    if (!partition.empty() || line[space - 1] == '*') nodes += std::atoi(line.c_str() + space);
  }
  return nodes;
}

std::int64_t Now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void RequireNothingQueued(const std::string& run) {
  for (const std::string& chain : ListChains(run)) {
    const std::vector<Job> jobs = QueryJobs(JobsOf(chain));
    for (const Job& job : jobs)
      Require(!job.alive(), ExitCode::kConfig, "job ", job.id, " of ", run, " is ",
              Lower(job.state), ": it will go on with this run. To replace it: scancel ",
              Join(JobsOf(chain), " "));
  }
}

}  // namespace

std::vector<std::string> ListChains(const std::string& run) {
  std::vector<int> numbers;
  if (Exists(run + "/slurm"))
    for (const std::string& name : ListDir(run + "/slurm"))
      if (const int number = std::atoi(name.c_str()); number > 0) numbers.push_back(number);
  std::sort(numbers.rbegin(), numbers.rend());
  std::vector<std::string> chains;
  for (const int number : numbers) chains.push_back(StrCat(run, "/slurm/", number));
  return chains;
}

std::vector<std::string> JobsOf(const std::string& chain) {
  std::vector<std::string> jobs;
  if (!Exists(chain + "/jobs")) return jobs;
  for (const std::string& line : Split(ReadFile(chain + "/jobs"), '\n'))
    if (!line.empty()) jobs.push_back(line);
  return jobs;
}

int LearnedMargin(const std::string& run) {
  double save = kUnknownSave, step = 0;
  if (Exists(run + "/pace.json")) {
    const auto pace =
        nlohmann::json::parse(ReadFile(run + "/pace.json"), nullptr, /*allow_exceptions=*/false);
    save = NumberOr(pace, "save_s", save);
    step = NumberOr(pace, "step_s", step);
  }
  return 90 + static_cast<int>(std::ceil(std::clamp(2 * save + step, 0.0, kLongestLearned)));
}

void Prepare(JobOptions* options) {
  const std::vector<std::string> chains = ListChains(options->run);
  const int last =
      chains.empty() ? 0 : std::atoi(std::filesystem::path(chains[0]).filename().c_str());
  options->chain = StrCat(options->run, "/slurm/", last + 1);
  options->name = StrCat("vesalius-", std::filesystem::path(options->run).filename().string(), "-",
                         Hex64(Hash64(options->run)).substr(0, 6));
  if (options->margin_s == 0) options->margin_s = LearnedMargin(options->run);
  const std::int64_t limit = ParseTimeLimit(options->time);
  Require(options->margin_s < limit, ExitCode::kUsage, "--time ", options->time, " is ", limit,
          " s, and the ranks are to save ", options->margin_s,
          " s before its end: give more time, or a smaller --signal-margin");
  const std::vector<BadNode> bad = ReadBadNodes(options->run);
  if (bad.empty()) return;
  const int total = NodesOfPartition(options->partition);
  for (const std::string& node :
       NodesToExclude(bad, Now(), options->nodes + options->spares, total))
    options->exclude += (options->exclude.empty() ? "" : ",") + node;
}

std::vector<std::string> Submit(const JobOptions& options, int generations) {
  Require(HaveProgram("sbatch"), ExitCode::kInputMissing,
          "there is no sbatch in PATH: submit on a machine of the cluster, or look at the script "
          "with --dry-run");
  RequireNothingQueued(options.run);
  MakeDirs(options.chain);
  const std::string script = options.chain + "/batch.sh";
  WriteFileAtomic(script, RenderBatchScript(options));
  const CommandResult test = RunCommand({"sbatch", "--test-only", script}, kLimit);
  Require(test.ok(), ExitCode::kConfig, "Slurm would refuse this job: ", LastLine(test.errors),
          " (the script: ", script, ")");
  std::vector<std::string> ids;
  for (int g = 0; g < generations; ++g) {
    const CommandResult result = RunCommand({"sbatch", "--parsable", script}, kLimit);
    Require(result.ok(), ExitCode::kConfig, "sbatch refused generation ", g + 1, ": ",
            LastLine(result.errors),
            ids.empty() ? "" : StrCat("; already in the queue: ", Join(ids, " ")));
    ids.push_back(Split(std::string(Trim(result.output)), ';')[0]);
    WriteFileAtomic(options.chain + "/jobs", Join(ids, "\n") + "\n");
  }
  return ids;
}

}  // namespace vesalius::slurm
