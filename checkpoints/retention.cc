#include "checkpoints/retention.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "checkpoints/manifest.h"
#include "checkpoints/reader.h"

namespace vesalius::checkpoints {
namespace {

bool Opens(const std::string& step_folder) {
  try {
    Reader reader(step_folder);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

void SweepLeftovers(const std::string& run_folder) {
  const std::string folder = CheckpointFolder(run_folder);
  if (!IsDir(folder)) return;
  try {
    for (const std::string& name : ListDir(folder))
      if (name.starts_with(".tmp-") || name.starts_with(".trash-"))
        RemoveTree(StrCat(folder, "/", name));
  } catch (const Error& error) {
    log::Warning("a leftover of an earlier save stays: ", error.what());
  }
}

void RemoveOldSteps(const std::string& run_folder, int keep, std::int64_t committed) {
  int kept = 0;
  try {
    for (const std::string& step_folder : ListSteps(run_folder)) {
      const std::string name = std::filesystem::path(step_folder).filename();
      if (kept < keep) {
        kept += Opens(step_folder) ? 1 : 0;
        continue;
      }
      if (StepOfName(name) == committed) continue;
      const std::string trash = StrCat(CheckpointFolder(run_folder), "/.trash-", name);
      RemoveTree(trash);
      RenamePath(step_folder, trash);
      RemoveTree(trash);
    }
  } catch (const Error& error) {
    log::Warning("an old checkpoint stays: ", error.what());
  }
}

}  // namespace vesalius::checkpoints
