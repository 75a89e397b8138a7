#include "data/inspect.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"
#include "data/images/image_codec.h"
#include "data/shards/dataset_files.h"
#include "data/statistics.h"

namespace vesalius::data {
namespace {

using nlohmann::json;

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
  Statistics statistics;
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
  const Manifest manifest = ReadManifest(ManifestPath(folder));
  json result = DescribeManifest(manifest);
  result.update(
      statistics.ToJson(FindingNames(manifest.vocabulary), manifest.vocabulary.image_labels));
  result["kind"] = "dataset";
  result["checksums"] = "verified";
  return result;
}

json InspectShard(const std::string& path) {
  const std::unique_ptr<ShardReader> shard = OpenShard(path);
  Statistics statistics;
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

// A hue of its own for each region; steps of 9 / 29 put both the next region and the other side's
// (8 further on) far away.
std::uint32_t RegionColour(int region) {
  const double hue = region * 9 % kRegions * 6.0 / kRegions;
  const auto channel = [&](double offset) {
    const double k = std::fmod(offset + hue, 6.0);
    return static_cast<std::uint32_t>(255 * (1 - std::clamp(std::min(k, 4 - k), 0.0, 1.0)));
  };
  return channel(5) << 16 | channel(3) << 8 | channel(1);
}

// "17-film_2.png" for record 17.
std::string PictureName(std::int64_t index, const std::string& image_id) {
  std::string name;
  for (const char c : std::filesystem::path(image_id).stem().string())
    name += std::isalnum(static_cast<unsigned char>(c)) || c == '-' ? c : '_';
  return StrCat(index, "-", name.substr(0, 80), ".png");
}

void DrawRecord(const Record& record, const std::string& path) {
  const int zoom = std::max(1, (kPictureSide + record.image.width - 1) / record.image.width);
  Canvas canvas = ToCanvas(record.image, zoom);
  for (int region = 0; region < kRegions; ++region) {
    if (!record.box_valid[region]) continue;
    const Box& box = record.boxes[region];
    DrawBox(canvas, (box.cx - box.w / 2) * canvas.width, (box.cy - box.h / 2) * canvas.height,
            (box.cx + box.w / 2) * canvas.width, (box.cy + box.h / 2) * canvas.height,
            RegionColour(region));
  }
  WritePng(path, canvas);
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

void DrawDataset(const std::string& path, const std::string& folder, int count) {
  std::vector<std::unique_ptr<ShardReader>> shards;
  if (IsHdf5(path))
    shards.push_back(OpenShard(path));
  else
    shards = OpenDatasetFiles(IsDir(path) ? path : FolderOf(path)).shards;
  MakeDirs(folder);
  std::int64_t index = 0;
  for (const auto& shard : shards)
    for (std::int64_t row = 0; row < shard->records() && index < count; ++row, ++index) {
      const Record record = shard->Read(row);
      DrawRecord(record, StrCat(folder, "/", PictureName(index, record.image_id)));
    }
}

}  // namespace vesalius::data
