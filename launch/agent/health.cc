#include "launch/agent/health.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "base/command.h"
#include "base/error.h"
#include "base/file.h"
#include "base/host.h"
#include "base/wall_clock.h"

namespace vesalius::launch {
namespace {

constexpr double kLargestClockOffset = 1;  // seconds
constexpr double kRoom = 1.2;              // times the newest checkpoint
constexpr int kMostGpuMemoryInUse = 512;   // MiB
constexpr std::chrono::seconds kGpusAnswerWithin{10};

std::uint64_t NewestCheckpointBytes(const std::string& run) {
  const std::string folder = run + "/ckpt";
  if (!Exists(folder)) return 0;
  std::string newest;
  for (const std::string& name : ListDir(folder))
    if (name.starts_with("step-")) newest = std::max(newest, name);
  std::uint64_t bytes = 0;
  std::error_code ignored;
  if (!newest.empty())
    for (const auto& entry :
         std::filesystem::directory_iterator(StrCat(folder, "/", newest), ignored))
      bytes += entry.is_regular_file(ignored) ? entry.file_size(ignored) : 0;
  return bytes;
}

// Writes a small file as a checkpoint would and compares the time that the file system gave it,
// which may be any between the beginning and the end of the writing.
std::string FolderTrouble(const std::string& run) {
  const std::string probe = StrCat(run, "/.probe-", HostName(), "-", ::getpid());
  struct stat info {};
  const double begun = WallNow();
  double off = 0;
  OutputFile file(probe);
  file.Write("x");
  file.Close();
  if (::stat(probe.c_str(), &info) == 0)
    off = std::max({0.0, begun - WallSeconds(info.st_mtim), WallSeconds(info.st_mtim) - WallNow()});
  RemoveTree(probe);
  if (off > kLargestClockOffset)
    return StrCat("its clock is ", Fixed(off, 1), " s off from that of ", run);
  struct statvfs room {};
  const std::uint64_t needed =
      static_cast<std::uint64_t>(kRoom * static_cast<double>(NewestCheckpointBytes(run)));
  if (::statvfs(run.c_str(), &room) == 0 && std::uint64_t{room.f_bavail} * room.f_frsize < needed)
    return StrCat(run, " has ", HumanBytes(std::uint64_t{room.f_bavail} * room.f_frsize),
                  " free, a checkpoint needs ", HumanBytes(needed));
  return "";
}

// One line a GPU: MiB in use. In a time limit, because a broken driver does not answer at all.
std::string GpuTrouble() {
  if (!Exists("/dev/nvidiactl")) return "";
  std::vector<std::string> words = {"nvidia-smi", "--query-gpu=index,memory.used",
                                    "--format=csv,noheader,nounits"};
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES"); visible != nullptr) {
    // Neither none of them nor slices of them can be asked for.
    if (*visible == '\0' || *visible == '-' || std::strstr(visible, "MIG") != nullptr) return "";
    words.push_back(StrCat("--id=", visible));
  }
  const CommandResult result = RunCommand(words, kGpusAnswerWithin);
  if (!result.ok()) return StrCat("its GPUs do not answer: ", Trim(result.output + result.errors));
  std::istringstream lines(result.output);
  int gpu = 0, used = 0;
  for (char comma = 0; lines >> gpu >> comma >> used;)
    if (used > kMostGpuMemoryInUse)
      return StrCat(used, " MiB of GPU ", gpu, " are in use by another process");
  return "";
}

}  // namespace

std::string NodeTrouble(const std::string& run, bool gpus) {
  try {
    const std::string trouble = FolderTrouble(run);
    return trouble.empty() && gpus ? GpuTrouble() : trouble;
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace vesalius::launch
