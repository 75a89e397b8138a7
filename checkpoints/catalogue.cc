#include "checkpoints/catalogue.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/wall_clock.h"
#include "checkpoints/attempt.h"
#include "checkpoints/boxes.h"
#include "checkpoints/inspect.h"
#include "checkpoints/manifest.h"
#include "checkpoints/reader.h"

namespace vesalius::checkpoints {
namespace {

constexpr std::size_t kSlab = std::size_t{16} << 20;

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

// The folder of RUN/ckpt that `which`, a step or a path, names.
std::string NamedStep(const std::string& run_folder, const std::string& which) {
  if (std::string own = OwnStep(run_folder, which); !own.empty()) return own;
  std::vector<std::string> there;
  for (const std::string& folder : ListSteps(run_folder)) {
    there.push_back(std::to_string(StepOfName(std::filesystem::path(folder).filename().string())));
    if (which == there.back()) return folder;
  }
  Fail(ExitCode::kInputMissing, which, " is no step of ", run_folder,
       there.empty() ? "; it has none" : "; there are " + Join(there, ", "));
}

std::string Describe(const TensorMeta& meta) {
  std::vector<std::string> sizes;
  for (const std::int64_t size : meta.shape) sizes.push_back(std::to_string(size));
  return StrCat(meta.dtype, " [", Join(sizes, ", "), "]");
}

nlohmann::json Named(const TensorMeta& meta) {
  return {{"name", meta.name}, {"role", RoleKey(meta.role)}};
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

// Elements whose bits differ, by how much at most where both are finite (null when none of them
// has such a difference), and how many differ by NaN or infinity.
nlohmann::json DiffTensor(const Reader& a, const Reader& b, const TensorMeta& meta) {
  const std::size_t item = ItemSize(meta.dtype);
  const bool has_values = !std::isnan(Value(meta.dtype, std::string(item, '\0').data()));
  std::int64_t differ = 0, not_finite = 0;
  nlohmann::json most;
  for (const Box& slab : Split(Whole(meta.shape), item, kSlab)) {
    const std::size_t bytes = static_cast<std::size_t>(Volume(slab.extent)) * item;
    std::string one(bytes, '\0'), other(bytes, '\0');
    a.Read({meta, slab.offset, slab.extent, one.data(), bytes});
    b.Read({meta, slab.offset, slab.extent, other.data(), bytes});
    if (one == other) continue;
    for (std::size_t at = 0; at < bytes; at += item) {
      if (std::memcmp(one.data() + at, other.data() + at, item) == 0) continue;
      ++differ;
      if (!has_values) continue;
      const double by =
          std::abs(Value(meta.dtype, one.data() + at) - Value(meta.dtype, other.data() + at));
      if (!std::isfinite(by))
        ++not_finite;
      else
        most = std::max(by, most.is_null() ? 0 : most.get<double>());
    }
  }
  nlohmann::json difference = Named(meta);
  difference["shape"] = meta.shape;
  difference["elements"] = differ;
  difference["largest"] = most;
  difference["not_finite"] = not_finite;
  return difference;
}

}  // namespace

nlohmann::json ListCheckpoints(const std::string& run_folder, bool every_byte) {
  Require(Exists(run_folder + "/ATTEMPT") || IsDir(CheckpointFolder(run_folder)),
          ExitCode::kInputMissing, run_folder, " is no run folder; check the spelling of the path");
  nlohmann::json list = nlohmann::json::array();
  for (const std::string& folder : ListSteps(run_folder)) {
    nlohmann::json entry = {{"step", StepOfName(std::filesystem::path(folder).filename().string())},
                            {"bytes", 0},
                            {"pinned", IsPinned(folder)}};
    try {
      entry["bytes"] = BytesOf(folder);
      const Reader reader(folder);
      if (every_byte) reader.Verify();
      entry["age"] = WallNow() - reader.info().wall_time;
      entry["token"] = reader.info().token;
      entry["world"] = reader.info().world;
      entry["good"] = true;
    } catch (const Error& error) {
      if (IsMissing(folder)) continue;  // a living run does not keep it any more
      entry["good"] = false;
      entry["damaged"] = error.code() == ExitCode::kInvalidData;
      entry["reason"] = error.what();
    }
    list.push_back(std::move(entry));
  }
  return {{"run", run_folder}, {"checkpoints", list}};
}

nlohmann::json DiffCheckpoints(const std::string& run_folder, const std::string& a,
                               const std::string& b) {
  const Reader one(FolderOf(run_folder, a)), other(FolderOf(run_folder, b));
  nlohmann::json only_a = nlohmann::json::array(), only_b = only_a, reshaped = only_a;
  nlohmann::json tensors = only_a, blobs = only_a;
  std::map<TensorKey, TensorMeta> theirs;
  for (const TensorMeta& meta : other.tensors()) theirs[{meta.name, meta.role}] = meta;
  for (const TensorMeta& meta : one.tensors()) {
    const auto found = theirs.find({meta.name, meta.role});
    if (found == theirs.end()) {
      only_a.push_back(Named(meta));
      continue;
    }
    const TensorMeta their = found->second;
    theirs.erase(found);
    if (their.dtype != meta.dtype || their.shape != meta.shape) {
      reshaped.push_back(Named(meta));
      reshaped.back()["a"] = Describe(meta);
      reshaped.back()["b"] = Describe(their);
      continue;
    }
    nlohmann::json difference = DiffTensor(one, other, meta);
    if (difference["elements"] > 0) tensors.push_back(std::move(difference));
  }
  for (const auto& [key, meta] : theirs) only_b.push_back(Named(meta));
  std::map<std::string, std::string> their_blobs = other.info().blobs;
  for (const auto& [name, content] : one.info().blobs) {
    const auto found = their_blobs.find(name);
    if (found == their_blobs.end() || found->second != content) blobs.push_back(name);
    if (found != their_blobs.end()) their_blobs.erase(found);
  }
  for (const auto& [name, content] : their_blobs) blobs.push_back(name);
  const bool equal =
      only_a.empty() && only_b.empty() && reshaped.empty() && tensors.empty() && blobs.empty();
  return {{"a", a},
          {"b", b},
          {"equal", equal},
          {"only_a", only_a},
          {"only_b", only_b},
          {"reshaped", reshaped},
          {"tensors", tensors},
          {"blobs", blobs}};
}

void PinStep(const std::string& run_folder, const std::string& step, bool pinned) {
  const std::string folder = NamedStep(run_folder, step);
  pinned ? Pin(folder) : Unpin(folder);
}

nlohmann::json Prune(const std::string& run_folder, const RetentionPolicy& policy) {
  Require(Exists(run_folder + "/ATTEMPT"), ExitCode::kInputMissing, run_folder,
          " is no run folder");
  const auto attempt = Attempt::Acquire(run_folder);
  const std::vector<std::string> before = ListSteps(run_folder);
  PruneSteps(run_folder, policy);
  const std::vector<std::string> after = ListSteps(run_folder);
  nlohmann::json removed = nlohmann::json::array();
  for (const std::string& folder : before)
    if (std::ranges::find(after, folder) == after.end())
      removed.push_back(StepOfName(std::filesystem::path(folder).filename().string()));
  return {{"removed", removed}, {"kept", after.size()}};
}

}  // namespace vesalius::checkpoints
