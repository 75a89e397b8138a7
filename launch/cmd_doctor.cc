// `vesalius doctor`
#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/output.h"
#include "slurm/node_checks.h"
#include "slurm/rank_checks.h"

namespace vesalius::launch {

static ExitCode Run(const Arguments&) {
  const std::string folder =
      std::filesystem::absolute(FLAGS_run.empty() ? "." : FLAGS_run).lexically_normal().string();
  MakeDirs(folder);
  if (FLAGS_probe) {
    const slurm::Findings found = slurm::CheckRanks(folder);
    if (!found.empty()) Print(slurm::ToJson(found).dump() + "\n");
    return ExitCode::kFinished;
  }
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  slurm::Findings all;
  const auto tell = [&](const slurm::Findings& findings) {
    for (const slurm::Finding& finding : findings) Print(slurm::ToText(finding));
    FlushOutput();
    all.insert(all.end(), findings.begin(), findings.end());
  };
  tell(slurm::CheckNode(folder));
  tell(slurm::CheckSlurm());
  tell(slurm::LaunchRankChecks(program, folder));
  if (!FLAGS_json.empty()) WriteFileAtomic(FLAGS_json, slurm::ToJson(all).dump(2) + "\n");
  const bool bad = std::any_of(all.begin(), all.end(), [](const slurm::Finding& finding) {
    return finding.level == slurm::Finding::kBad;
  });
  return bad ? ExitCode::kNodeUnhealthy : ExitCode::kFinished;
}

Command DoctorCommand() {
  return {"doctor",
          "looks whether this machine, or this Slurm allocation, is fit for training",
          "",
          "vesalius doctor --run $(mktemp -d)",
          {{"run", "DIR", "where runs are to be kept; left out: this folder"},
           {"json", "FILE", "also writes it as JSON"},
           {"probe", "", "the part that doctor starts on every rank"}},
          Run};
}

}  // namespace vesalius::launch
