#include "data/shards/manifest.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/shards/manifest.pb.h"
#include "data/shards/shard_format.h"

namespace vesalius::data {
namespace {

constexpr std::string_view kMagic = "VESALDS\n";
constexpr std::size_t kHeader = 8 + 4 + 8;  // magic, schema version, payload length
constexpr std::size_t kTrailer = 4;         // CRC-32C of all that comes before
constexpr char kRemedy[] = "; copy the data set again from its source or import it anew";

template <typename T>
void Append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <typename T>
T Take(std::string_view bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

template <typename Strings>
std::vector<std::string> ToVector(const Strings& strings) {
  return {strings.begin(), strings.end()};
}

template <typename Strings>
void FromVector(const std::vector<std::string>& strings, Strings* out) {
  out->Assign(strings.begin(), strings.end());
}

pb::Vocabulary ToProto(const Vocabulary& vocabulary) {
  pb::Vocabulary proto;
  for (const Finding& finding : vocabulary.findings) {
    pb::Finding* entry = proto.add_findings();
    entry->set_name(finding.name);
    FromVector(finding.synonyms, entry->mutable_synonyms());
  }
  FromVector(vocabulary.image_labels, proto.mutable_image_labels());
  proto.set_can(vocabulary.can.data(), vocabulary.can.size());
  for (const int parent : vocabulary.parent) proto.add_parent(parent);
  FromVector(vocabulary.positive_forms, proto.mutable_positive_forms());
  FromVector(vocabulary.negative_forms, proto.mutable_negative_forms());
  FromVector(vocabulary.normal_forms, proto.mutable_normal_forms());
  FromVector(vocabulary.wordpieces, proto.mutable_wordpieces());
  return proto;
}

Vocabulary FromProto(const pb::Vocabulary& proto, const std::string& path) {
  Vocabulary vocabulary;
  for (const pb::Finding& finding : proto.findings())
    vocabulary.findings.push_back({finding.name(), ToVector(finding.synonyms())});
  vocabulary.image_labels = ToVector(proto.image_labels());
  vocabulary.can.assign(proto.can().begin(), proto.can().end());
  Require(proto.parent_size() == kRegions, ExitCode::kInvalidData, path, " has parents for ",
          proto.parent_size(), " regions instead of ", kRegions, kRemedy);
  for (int region = 0; region < kRegions; ++region) {
    const int parent = proto.parent(region);
    Require(parent >= -1 && parent < kRegions, ExitCode::kInvalidData, path, " names region ",
            parent, " as a parent, which does not exist", kRemedy);
    vocabulary.parent[region] = parent;
  }
  Require(vocabulary.can.size() == kRegions * vocabulary.findings.size(), ExitCode::kInvalidData,
          path, " has a region-finding table of ", vocabulary.can.size(), " entries for ",
          vocabulary.findings.size(), " findings", kRemedy);
  vocabulary.positive_forms = ToVector(proto.positive_forms());
  vocabulary.negative_forms = ToVector(proto.negative_forms());
  vocabulary.normal_forms = ToVector(proto.normal_forms());
  vocabulary.wordpieces = ToVector(proto.wordpieces());
  return vocabulary;
}

ShardEntry FromProto(const pb::Shard& proto, const std::string& path) {
  ShardEntry shard{proto.file(), proto.records(), proto.bytes(), proto.crc32c(), {}};
  Require(!shard.file.empty() && shard.file.find('/') == std::string::npos, ExitCode::kInvalidData,
          path, " names a shard '", shard.file, "' that is not a file name", kRemedy);
  Require(static_cast<std::int64_t>(proto.splits().size()) == shard.records, ExitCode::kInvalidData,
          path, " has ", proto.splits().size(), " splits for the ", shard.records, " records of ",
          shard.file, kRemedy);
  for (const char split : proto.splits()) {
    Require(split >= 0 && split <= 2, ExitCode::kInvalidData, path, " has an unknown split ",
            static_cast<int>(split), " for ", shard.file, kRemedy);
    shard.splits.push_back(static_cast<Split>(split));
  }
  return shard;
}

// The Protobuf message inside the envelope, checked.
std::string_view Payload(std::string_view bytes, const std::string& path) {
  Require(bytes.size() >= kHeader + kTrailer && bytes.substr(0, kMagic.size()) == kMagic,
          ExitCode::kInvalidData, path, " is not a data set manifest or is cut short", kRemedy);
  const auto version = Take<std::uint32_t>(bytes, 8);
  const auto stored = Take<std::uint32_t>(bytes, bytes.size() - kTrailer);
  const std::uint32_t actual = Crc32c(bytes.data(), bytes.size() - kTrailer);
  Require(stored == actual, ExitCode::kInvalidData, path, ": wrong checksum (stored ", std::hex,
          stored, ", computed ", actual, "): the manifest is damaged or cut short", kRemedy);
  Require(version >= kOldestSchema && version <= kSchemaVersion, ExitCode::kInvalidData, path,
          " has schema version ", version, "; this program reads versions ", kOldestSchema, " to ",
          kSchemaVersion, ": import the data anew");
  const auto length = Take<std::uint64_t>(bytes, 12);
  Require(length == bytes.size() - kHeader - kTrailer, ExitCode::kInvalidData, path,
          " has a wrong length", kRemedy);
  return bytes.substr(kHeader, length);
}

void CheckRegions(const pb::Manifest& proto, const std::string& path) {
  bool same = proto.regions_size() == kRegions;
  for (int region = 0; same && region < kRegions; ++region)
    same = proto.regions(region) == kRegionNames[region];
  Require(same, ExitCode::kInvalidData, path, " was made with another list of regions than the ",
          kRegions, " of this program: import the data anew");
}

}  // namespace

std::string ManifestPath(const std::string& folder) { return StrCat(folder, "/", kManifestName); }

bool IsManifest(const std::string& path) {
  if (!Exists(path) || IsDir(path) || FileSize(path) < kMagic.size()) return false;
  std::string start(kMagic.size(), '\0');
  ReadAt(path, 0, start.data(), start.size());
  return start == kMagic;
}

Manifest ReadManifest(const std::string& path) {
  Require(
      Exists(path), ExitCode::kInputMissing, path,
      " does not exist: the folder holds no data set (or one whose import did not finish); make "
      "one with `vesalius import pairs` or `vesalius phantom`");
  const std::string bytes = ReadFile(path);
  const std::string_view payload = Payload(bytes, path);
  pb::Manifest proto;
  Require(proto.ParseFromArray(payload.data(), static_cast<int>(payload.size())),
          ExitCode::kInvalidData, path, " does not hold a manifest message", kRemedy);
  CheckRegions(proto, path);

  Manifest manifest;
  manifest.source = proto.source();
  manifest.fingerprint = proto.fingerprint();
  manifest.stored_size = proto.stored_size();
  manifest.channels = proto.channels();
  manifest.vocabulary = FromProto(proto.vocabulary(), path);
  for (const pb::Shard& shard : proto.shards()) {
    manifest.shards.push_back(FromProto(shard, path));
    for (const Split split : manifest.shards.back().splits)
      ++manifest.split_counts[static_cast<int>(split)];
  }
  Require(std::equal(proto.split_counts().begin(), proto.split_counts().end(),
                     manifest.split_counts.begin(), manifest.split_counts.end()),
          ExitCode::kInvalidData, path, " has counts that do not agree with its shards", kRemedy);
  return manifest;
}

void WriteManifest(const std::string& path, const Manifest& manifest) {
  pb::Manifest proto;
  proto.set_schema_version(kSchemaVersion);
  proto.set_source(manifest.source);
  proto.set_fingerprint(manifest.fingerprint);
  proto.set_stored_size(manifest.stored_size);
  proto.set_channels(manifest.channels);
  for (const std::int64_t count : manifest.split_counts) proto.add_split_counts(count);
  for (const char* name : kRegionNames) proto.add_regions(name);
  *proto.mutable_vocabulary() = ToProto(manifest.vocabulary);
  for (const ShardEntry& shard : manifest.shards) {
    pb::Shard* entry = proto.add_shards();
    entry->set_file(shard.file);
    entry->set_records(shard.records);
    entry->set_bytes(shard.bytes);
    entry->set_crc32c(shard.crc32c);
    entry->set_splits(shard.splits.data(), shard.splits.size());
  }
  const std::string payload = proto.SerializeAsString();
  std::string bytes(kMagic);
  Append(bytes, static_cast<std::uint32_t>(kSchemaVersion));
  Append(bytes, static_cast<std::uint64_t>(payload.size()));
  bytes += payload;
  Append(bytes, Crc32c(bytes.data(), bytes.size()));
  WriteFileAtomic(path, bytes);
}

}  // namespace vesalius::data
