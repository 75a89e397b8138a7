#include "checkpoints/commit.h"

#include <sys/statvfs.h>

#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "checkpoints/manifest.h"
#include "checkpoints/protections.h"
#include "checkpoints/reader.h"
#include "checkpoints/save_plan.h"

namespace vesalius::checkpoints {
namespace {

constexpr double kSpaceFactor = 1.2;  // free space asked for, in sizes of the checkpoint
constexpr std::chrono::milliseconds kLook{20};

SavePoint g_point;

// False, and said in the log, when a byte of the checkpoint is damaged.
bool IsGood(const std::string& step_folder) {
  try {
    Reader(step_folder).Verify();
    return true;
  } catch (const Error& error) {
    if (error.code() != ExitCode::kInvalidData) throw;
    log::Warning(error.what(), "; it is moved to quarantine");
    return false;
  }
}

void CheckFence(const Attempt& attempt) {
  if (Protects(Protection::kFence)) attempt.CheckFence();
}

// The parts that all ranks left in the folder. On a shared file system they may show up late.
Manifest ReadParts(const CommitJob& job) {
  std::vector<Manifest> parts;
  for (int rank = 0; rank < job.ranks; ++rank) {
    const std::string path = StrCat(job.temporary, "/", PartName(rank));
    while (!Exists(path)) {
      job.check(/*last=*/false);
      std::this_thread::sleep_for(kLook);
    }
    parts.push_back(DecodePart(ReadFile(path), path));
    RemoveTree(path);
  }
  try {
    return JoinParts(std::move(parts), job.temporary);
  } catch (const Error& error) {
    Invariant(false, "ranks do not hold every tensor exactly: ", error.what());
    throw;
  }
}

}  // namespace

void CheckSpace(const std::string& folder, std::uint64_t bytes) {
  struct statvfs info;
  if (::statvfs(folder.c_str(), &info) != 0) return;  // the write itself will tell
  const std::uint64_t free = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
  const auto needed = static_cast<std::uint64_t>(kSpaceFactor * static_cast<double>(bytes));
  Require(free >= needed, ExitCode::kCannotSave, "a checkpoint of ", HumanBytes(bytes), " needs ",
          HumanBytes(needed), " free in ", folder, " and there are ", HumanBytes(free),
          "; free some space or lower trainer.keep");
}

std::string Commit(const CommitJob& job) {
  std::string target = StrCat(CheckpointFolder(job.run_folder), "/", StepName(job.step));
  const Manifest manifest = ReadParts(job);
  for (const StoredFile& shard : manifest.files) {
    const std::uint64_t bytes = FileSize(StrCat(job.temporary, "/", shard.name));
    Require(bytes == shard.bytes, ExitCode::kCannotSave, job.temporary, "/", shard.name, " has ",
            bytes, " bytes and ", shard.bytes, " were written");
  }
  const std::string content = EncodeManifest(manifest);
  OutputFile file(StrCat(job.temporary, "/", kManifestName), ExitCode::kCannotSave);
  file.Write(content);
  if (Protects(Protection::kSync)) file.Sync();
  file.Close();
  if (Protects(Protection::kSync)) SyncDir(job.temporary, ExitCode::kCannotSave);
  AtSavePoint("manifest", job.step, 0);
  job.check(/*last=*/false);
  CheckFence(*job.attempt);
  if (IsDir(target)) {
    if (IsGood(target)) {
      log::Info(target, " is there already and good: it stays, the new copy is dropped");
      RemoveTree(job.temporary);
      return target;
    }
    Quarantine(target);
  }
  Require(!std::filesystem::exists(std::filesystem::symlink_status(target)), ExitCode::kCannotSave,
          target, " is no folder and stands in the way of the checkpoint: remove it");
  job.check(/*last=*/true);
  CheckFence(*job.attempt);
  RenamePath(job.temporary, target, ExitCode::kCannotSave);
  AtSavePoint("rename", job.step, 0);
  if (Protects(Protection::kSync)) SyncDir(CheckpointFolder(job.run_folder), ExitCode::kCannotSave);
  if (ReadFile(StrCat(target, "/", kManifestName)) != content) {
    Quarantine(target);
    Fail(ExitCode::kCannotSave, target, "/", kManifestName,
         " reads back different from what was written: the disk is not to be trusted");
  }
  AtSavePoint("committed", job.step, 0);
  return target;
}

void SetSavePoint(SavePoint point) { g_point = std::move(point); }

void AtSavePoint(const char* point, std::int64_t step, int rank) {
  if (g_point) g_point(point, step, rank);
}

}  // namespace vesalius::checkpoints
