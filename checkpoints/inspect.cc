#include "checkpoints/inspect.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "checkpoints/manifest.h"
#include "checkpoints/reader.h"

namespace vesalius::checkpoints {
namespace {

bool IsStepFolder(const std::string& path) {
  const std::string manifest = StrCat(path, "/", kManifestName);
  if (Exists(manifest) && FileSize(manifest) >= kManifestMagic.size()) {
    std::string magic(kManifestMagic.size(), '\0');
    ReadAt(manifest, 0, magic.data(), magic.size());
    if (magic == kManifestMagic) return true;
  }
  const std::filesystem::path clean = std::filesystem::path(path).lexically_normal();
  return StepOfName((clean.has_filename() ? clean : clean.parent_path()).filename().string()) >= 0;
}

}  // namespace

const char* RoleKey(Role role) {
  switch (role) {
    case Role::kParameter:
      return "parameter";
    case Role::kMoment1:
      return "moment1";
    case Role::kMoment2:
      return "moment2";
    case Role::kScalar:
      return "scalar";
    case Role::kBuffer:
      return "buffer";
  }
  return "unknown";
}

bool IsCheckpoint(const std::string& path) {
  return IsDir(path) && (IsStepFolder(path) || IsDir(CheckpointFolder(path)));
}

nlohmann::json InspectCheckpoint(const std::string& path) {
  std::string folder = path;
  if (!IsStepFolder(path)) {
    const std::vector<std::string> steps = ListSteps(path);
    Require(!steps.empty(), ExitCode::kInputMissing, path, " holds no checkpoint");
    folder = steps.front();
  }
  const Reader reader(folder);
  reader.Verify();
  const StepInfo& info = reader.info();
  nlohmann::json tensors = nlohmann::json::array();
  std::int64_t parameters = 0;
  std::uint64_t bytes = 0;
  for (const TensorMeta& meta : reader.tensors()) {
    tensors.push_back({{"name", meta.name},
                       {"dtype", meta.dtype},
                       {"shape", meta.shape},
                       {"role", RoleKey(meta.role)}});
    if (meta.role == Role::kParameter) parameters += Volume(meta.shape);
    bytes += static_cast<std::uint64_t>(Volume(meta.shape)) * ItemSize(meta.dtype);
  }
  nlohmann::json blobs = nlohmann::json::object();
  for (const auto& [name, content] : info.blobs) blobs[name] = content.size();
  return {{"kind", "checkpoint"},
          {"path", folder},
          {"step", info.step},
          {"samples", info.samples},
          {"run_id", info.run_id},
          {"token", info.token},
          {"config_hash", info.config_hash},
          {"world", info.world},
          {"wall_time", info.wall_time},
          {"version", info.version},
          {"blobs", blobs},
          {"bytes", bytes},
          {"parameters", parameters},
          {"parameters_digest", reader.ParametersDigest()},
          {"tensors", tensors}};
}

}  // namespace vesalius::checkpoints
