#include "launch/agent/health.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <sstream>

#include "base/error.h"
#include "base/file.h"

namespace vesalius::launch {
namespace {

constexpr double kLargestClockOffset = 1;  // seconds
constexpr double kRoom = 1.2;              // times the newest checkpoint
constexpr int kMostGpuMemoryInUse = 512;   // MiB

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

// Writes a small file as a checkpoint would and compares the time that the file system gave it.
std::string FolderTrouble(const std::string& run) {
  const std::string probe = StrCat(run, "/.probe-", ::getpid());
  struct stat info {};
  timespec now{};
  try {
    OutputFile file(probe);
    file.Write("x");
    file.Close();
    ::clock_gettime(CLOCK_REALTIME, &now);
    ::stat(probe.c_str(), &info);
    RemoveTree(probe);
  } catch (const Error& error) {
    return error.what();
  }
  const double offset = static_cast<double>(info.st_mtim.tv_sec - now.tv_sec) +
                        1e-9 * static_cast<double>(info.st_mtim.tv_nsec - now.tv_nsec);
  if (std::abs(offset) > kLargestClockOffset)
    return StrCat("its clock is ", Fixed(std::abs(offset), 1), " s off from that of ", run);
  struct statvfs room {};
  const std::uint64_t needed =
      static_cast<std::uint64_t>(kRoom * static_cast<double>(NewestCheckpointBytes(run)));
  if (::statvfs(run.c_str(), &room) == 0 && std::uint64_t{room.f_bavail} * room.f_frsize < needed)
    return StrCat(run, " has ", HumanBytes(std::uint64_t{room.f_bavail} * room.f_frsize),
                  " free, a checkpoint needs ", HumanBytes(needed));
  return "";
}

// One line a GPU: MiB in use. `timeout`, because a broken driver does not answer at all.
std::string GpuTrouble() {
  if (!Exists("/dev/nvidiactl")) return "";
  std::FILE* pipe = ::popen(
      "timeout 10 nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits 2>&1", "r");
  if (pipe == nullptr) return "";
  std::string output;
  char buffer[512];
  while (std::fgets(buffer, sizeof(buffer), pipe) != nullptr) output += buffer;
  if (::pclose(pipe) != 0) return StrCat("its GPUs do not answer: ", Trim(output));
  std::istringstream lines(output);
  int used = 0;
  for (int gpu = 0; lines >> used; ++gpu)
    if (used > kMostGpuMemoryInUse)
      return StrCat(used, " MiB of GPU ", gpu, " are in use by another process");
  return "";
}

}  // namespace

std::string NodeTrouble(const std::string& run) {
  const std::string trouble = FolderTrouble(run);
  return trouble.empty() ? GpuTrouble() : trouble;
}

}  // namespace vesalius::launch
