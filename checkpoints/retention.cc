#include "checkpoints/retention.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "checkpoints/manifest.h"
#include "checkpoints/reader.h"

namespace vesalius::checkpoints {
namespace {

bool IsGood(const std::string& step_folder, bool every_byte) {
  try {
    const Reader reader(step_folder);
    if (every_byte) reader.Verify();
    return true;
  } catch (const Error& error) {
    if (error.code() != ExitCode::kInvalidData) throw;
    return false;
  }
}

// Of `folders`, the step with the best value of `figure` in RUN/evals.jsonl; -1 when there is none.
// A figure with a leading `-` is best when it is least.
std::int64_t BestStep(const std::string& run_folder, const std::vector<std::string>& folders,
                      std::string figure) {
  const std::string path = run_folder + "/evals.jsonl";
  if (figure.empty() || !Exists(path)) return -1;
  const double sign = figure[0] == '-' ? -1 : 1;
  if (figure[0] == '-') figure.erase(0, 1);
  std::set<std::int64_t> there;
  for (const std::string& folder : folders)
    there.insert(StepOfName(std::filesystem::path(folder).filename().string()));
  std::int64_t best = -1;
  double value = 0;
  for (const std::string& text : vesalius::Split(ReadFile(path), '\n')) {
    const nlohmann::json line = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!line.is_object() || !line.contains(figure) || !line.contains("step")) continue;
    if (!line[figure].is_number() || !line["step"].is_number_integer()) continue;
    const double now = sign * line[figure].get<double>();
    const std::int64_t step = line["step"].get<std::int64_t>();
    if (!there.contains(step) || (best >= 0 && now <= value)) continue;
    best = step;
    value = now;
  }
  return best;
}

void RemoveLeftovers(const std::string& run_folder) {
  const std::string folder = CheckpointFolder(run_folder);
  if (!IsDir(folder)) return;
  for (const std::string& name : ListDir(folder))
    if (name.starts_with(".tmp-") || name.starts_with(".trash-"))
      RemoveTree(StrCat(folder, "/", name));
}

// Nothing is removed before all of the newest good steps are found.
void RemoveUnkept(const std::string& run_folder, const RetentionPolicy& policy,
                  std::int64_t committed, bool every_byte) {
  int kept = 0;
  const std::vector<std::string> folders = ListSteps(run_folder);
  const std::int64_t best = BestStep(run_folder, folders, policy.best);
  for (const std::string& step_folder : folders) {
    const std::string name = std::filesystem::path(step_folder).filename();
    const std::int64_t step = StepOfName(name);
    if (kept < policy.newest) {
      kept += IsGood(step_folder, every_byte) ? 1 : 0;
      continue;
    }
    if (step == committed || step == best || IsPinned(step_folder) ||
        (policy.every > 0 && step % policy.every == 0))
      continue;
    const std::string trash = StrCat(CheckpointFolder(run_folder), "/.trash-", name);
    RemoveTree(trash);
    RenamePath(step_folder, trash);
    RemoveTree(trash);
  }
}

}  // namespace

void SweepLeftovers(const std::string& run_folder) {
  try {
    RemoveLeftovers(run_folder);
  } catch (const Error& error) {
    log::Warning("a leftover of an earlier save stays: ", error.what());
  }
}

bool IsPinned(const std::string& step_folder) { return Exists(StrCat(step_folder, "/", kPinName)); }

void Pin(const std::string& step_folder) {
  WriteFileAtomic(StrCat(step_folder, "/", kPinName), "");
}

void Unpin(const std::string& step_folder) {
  RemoveTree(StrCat(step_folder, "/", kPinName));
  SyncDir(step_folder);
}

void RemoveOldSteps(const std::string& run_folder, const RetentionPolicy& policy,
                    std::int64_t committed) {
  try {
    RemoveUnkept(run_folder, policy, committed, /*every_byte=*/false);
  } catch (const Error& error) {
    log::Warning("an old checkpoint stays: ", error.what());
  }
}

void PruneSteps(const std::string& run_folder, const RetentionPolicy& policy) {
  RemoveLeftovers(run_folder);
  RemoveUnkept(run_folder, policy, /*committed=*/-1, /*every_byte=*/true);
}

}  // namespace vesalius::checkpoints
