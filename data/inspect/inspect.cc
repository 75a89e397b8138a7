#include "data/inspect/inspect.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"
#include "data/inspect/pictures.h"
#include "data/inspect/statistics.h"
#include "data/shards/dataset_files.h"

namespace vesalius::data {
namespace {

using nlohmann::json;

constexpr int kPictures = 16;
constexpr int kPictureSide = 384;  // at least, pixels

std::vector<std::string> FindingNames(const Vocabulary& vocabulary) {
  std::vector<std::string> names;
  for (const Finding& finding : vocabulary.findings) names.push_back(finding.name);
  return names;
}

json DescribeManifest(const Manifest& manifest) {
  json shards = json::array();
  std::uint64_t bytes = 0;
  for (const ShardEntry& shard : manifest.shards) {
    char crc[16];
    std::snprintf(crc, sizeof(crc), "%08x", shard.crc32c);
    shards.push_back({{"file", shard.file},
                      {"records", shard.records},
                      {"bytes", shard.bytes},
                      {"crc32c", crc}});
    bytes += shard.bytes;
  }
  const auto& counts = manifest.split_counts;
  const Vocabulary& vocabulary = manifest.vocabulary;
  return {{"kind", "manifest"},
          {"schema_version", kSchemaVersion},
          {"source", manifest.source},
          {"fingerprint", manifest.fingerprint},
          {"records", manifest.records()},
          {"splits", {{"train", counts[0]}, {"valid", counts[1]}, {"test", counts[2]}}},
          {"stored_size", manifest.stored_size},
          {"channels", manifest.channels},
          {"bytes", bytes},
          {"shards", std::move(shards)},
          {"findings", FindingNames(vocabulary)},
          {"image_label_names", vocabulary.image_labels},
          {"wordpieces", vocabulary.wordpieces.size()}};
}

json InspectFolder(const std::string& folder) {
  const Manifest manifest = ReadManifest(ManifestPath(folder));
  Statistics statistics(manifest.vocabulary.wordpieces);
  const std::vector<Damage> damages =
      VerifyDataset(folder, [&](const Record& record) { statistics.Add(record); });
  if (!damages.empty()) {
    constexpr std::size_t kShown = 5;
    std::string list;
    for (std::size_t i = 0; i < std::min(damages.size(), kShown); ++i)
      list += (i > 0 ? "\n" : "") + damages[i].reason;
    if (damages.size() > kShown)
      list += StrCat("\n(", damages.size() - kShown, " more are damaged)");
    Fail(ExitCode::kInvalidData, list);
  }
  json result = DescribeManifest(manifest);
  result.update(
      statistics.ToJson(FindingNames(manifest.vocabulary), manifest.vocabulary.image_labels));
  result["kind"] = "dataset";
  result["checksums"] = "verified";
  return result;
}

json InspectShard(const std::string& path) {
  const std::unique_ptr<ShardReader> shard = OpenShard(path);
  Statistics statistics({});
  for (std::int64_t row = 0; row < shard->records(); ++row) statistics.Add(shard->Read(row));
  json result = statistics.ToJson({}, {});
  result["kind"] = "shard";
  result["schema_version"] = shard->schema_version();
  result["stored_size"] = shard->shape().stored_size;
  result["channels"] = shard->shape().channels;
  result["bytes"] = FileSize(path);
  result["checksums"] = "verified";
  return result;
}

// "17-film_2.png" for record 17.
std::string PictureName(std::int64_t index, const std::string& image_id) {
  std::string name;
  for (const char c : std::filesystem::path(image_id).stem().string())
    name += std::isalnum(static_cast<unsigned char>(c)) || c == '-' ? c : '_';
  return StrCat(index, "-", name.substr(0, 80), ".png");
}

std::string FolderOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent;
}

}  // namespace

bool IsDataset(const std::string& path) {
  return IsDir(path) ? Exists(ManifestPath(path)) : IsManifest(path) || IsHdf5(path);
}

json InspectDataset(const std::string& path) {
  Require(Exists(path), ExitCode::kInputMissing, path, " does not exist; check the spelling");
  json result = IsDir(path)    ? InspectFolder(path)
                : IsHdf5(path) ? InspectShard(path)
                               : DescribeManifest(ReadManifest(path));
  result["path"] = path;
  return result;
}

void DrawDataset(const std::string& path, const json& found, const std::string& folder) {
  std::vector<std::unique_ptr<ShardReader>> shards;
  if (IsHdf5(path))
    shards.push_back(OpenShard(path));
  else
    shards = OpenDatasetFiles(IsDir(path) ? path : FolderOf(path)).shards;
  MakeDirs(folder);
  std::int64_t index = 0;
  for (const auto& shard : shards)
    for (std::int64_t row = 0; row < shard->records() && index < kPictures; ++row, ++index) {
      const Record record = shard->Read(row);
      const int zoom = std::max(1, (kPictureSide + record.image.width - 1) / record.image.width);
      WritePng(StrCat(folder, "/", PictureName(index, record.image_id)), PictureOf(record, zoom));
    }
  DrawSheets(shards, folder + "/sheets");
  if (found.contains("regions")) DrawHistograms(found, folder + "/histograms");
}

}  // namespace vesalius::data
