#include "checkpoints/catalogue.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "checkpoints/attempt.h"
#include "checkpoints/boxes.h"
#include "checkpoints/inspect.h"
#include "checkpoints/manifest.h"
#include "checkpoints/reader.h"

namespace vesalius::checkpoints {
namespace {

constexpr std::size_t kSlab = std::size_t{16} << 20;

double WallNow() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::uint64_t BytesOf(const std::string& folder) {
  std::uint64_t bytes = 0;
  for (const std::string& name : ListDir(folder)) bytes += FileSize(StrCat(folder, "/", name));
  return bytes;
}

// "120" is a step of the run, everything else a folder.
std::string FolderOf(const std::string& run_folder, const std::string& which) {
  const bool number = !which.empty() && std::ranges::all_of(which, [](unsigned char c) {
    return std::isdigit(c) != 0;
  });
  std::string folder =
      number ? StrCat(CheckpointFolder(run_folder), "/", StepName(std::atoll(which.c_str())))
             : which;
  Require(IsDir(folder), ExitCode::kInputMissing, "no checkpoint ", folder,
          "; `vesalius checkpoints ", run_folder, "` lists those that there are");
  return folder;
}

double Value(const std::string& dtype, const char* at) {
  if (dtype == "F32") {
    float value;
    std::memcpy(&value, at, sizeof(value));
    return value;
  }
  if (dtype == "F64") {
    double value;
    std::memcpy(&value, at, sizeof(value));
    return value;
  }
  if (dtype == "I64") {
    std::int64_t value;
    std::memcpy(&value, at, sizeof(value));
    return static_cast<double>(value);
  }
  return std::nan("");  // others are compared by their bits alone
}

// Elements whose bits differ, and by how much at most (NaN where that has no meaning).
nlohmann::json DiffTensor(const Reader& a, const Reader& b, const TensorMeta& meta) {
  const std::size_t item = ItemSize(meta.dtype);
  std::int64_t differ = 0;
  double most = 0;
  for (const Box& slab : Split(Whole(meta.shape), item, kSlab)) {
    const std::size_t bytes = static_cast<std::size_t>(Volume(slab.extent)) * item;
    std::string one(bytes, '\0'), other(bytes, '\0');
    a.Read({meta, slab.offset, slab.extent, one.data(), bytes});
    b.Read({meta, slab.offset, slab.extent, other.data(), bytes});
    if (one == other) continue;
    for (std::size_t at = 0; at < bytes; at += item) {
      if (std::memcmp(one.data() + at, other.data() + at, item) == 0) continue;
      ++differ;
      most = std::max(most, std::abs(Value(meta.dtype, one.data() + at) -
                                     Value(meta.dtype, other.data() + at)));
    }
  }
  return {{"name", meta.name},
          {"role", RoleKey(meta.role)},
          {"shape", meta.shape},
          {"elements", differ},
          {"largest", most}};
}

}  // namespace

nlohmann::json ListCheckpoints(const std::string& run_folder, bool every_byte) {
  Require(Exists(run_folder + "/ATTEMPT") || IsDir(CheckpointFolder(run_folder)),
          ExitCode::kInputMissing, run_folder, " is no run folder; check the spelling of the path");
  nlohmann::json list = nlohmann::json::array();
  for (const std::string& folder : ListSteps(run_folder)) {
    nlohmann::json entry = {{"step", StepOfName(std::filesystem::path(folder).filename().string())},
                            {"bytes", BytesOf(folder)},
                            {"pinned", IsPinned(folder)}};
    try {
      const Reader reader(folder);
      if (every_byte) reader.Verify();
      entry["age"] = WallNow() - reader.info().wall_time;
      entry["token"] = reader.info().token;
      entry["world"] = reader.info().world;
      entry["good"] = true;
    } catch (const Error& error) {
      entry["good"] = false;
      entry["reason"] = error.what();
    }
    list.push_back(std::move(entry));
  }
  return {{"run", run_folder}, {"checkpoints", list}};
}

nlohmann::json DiffCheckpoints(const std::string& run_folder, const std::string& a,
                               const std::string& b) {
  const Reader one(FolderOf(run_folder, a)), other(FolderOf(run_folder, b));
  nlohmann::json only_a = nlohmann::json::array(), only_b = nlohmann::json::array();
  nlohmann::json tensors = nlohmann::json::array();
  std::map<TensorKey, TensorMeta> theirs;
  for (const TensorMeta& meta : other.tensors()) theirs[{meta.name, meta.role}] = meta;
  for (const TensorMeta& meta : one.tensors()) {
    const auto found = theirs.find({meta.name, meta.role});
    const bool same = found != theirs.end() && found->second.dtype == meta.dtype &&
                      found->second.shape == meta.shape;
    if (!same) {
      only_a.push_back(meta.name);
      continue;
    }
    theirs.erase(found);
    nlohmann::json difference = DiffTensor(one, other, meta);
    if (difference["elements"] > 0) tensors.push_back(std::move(difference));
  }
  for (const auto& [key, meta] : theirs) only_b.push_back(meta.name);
  return {{"a", a},
          {"b", b},
          {"equal", only_a.empty() && only_b.empty() && tensors.empty()},
          {"only_a", only_a},
          {"only_b", only_b},
          {"tensors", tensors}};
}

void PinStep(const std::string& run_folder, const std::string& step, bool pinned) {
  const std::string folder = FolderOf(run_folder, step);
  pinned ? Pin(folder) : Unpin(folder);
}

nlohmann::json Prune(const std::string& run_folder, const RetentionPolicy& policy) {
  Require(Exists(run_folder + "/ATTEMPT"), ExitCode::kInputMissing, run_folder,
          " is no run folder");
  const auto attempt = Attempt::Acquire(run_folder);
  const std::vector<std::string> before = ListSteps(run_folder);
  SweepLeftovers(run_folder);
  if (!before.empty())
    RemoveOldSteps(run_folder, policy,
                   StepOfName(std::filesystem::path(before[0]).filename().string()));
  const std::vector<std::string> after = ListSteps(run_folder);
  nlohmann::json removed = nlohmann::json::array();
  for (const std::string& folder : before)
    if (std::ranges::find(after, folder) == after.end())
      removed.push_back(StepOfName(std::filesystem::path(folder).filename().string()));
  return {{"removed", removed}, {"kept", after.size()}};
}

}  // namespace vesalius::checkpoints
