#include "data/import/parts.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/hash.h"
#include "data/shards/fingerprint.h"
#include "data/shards/shard_builder.h"

namespace vesalius::data {
namespace {

using nlohmann::json;

// A small set still gives every worker something to do; a large one has no more files than needed.
constexpr std::int64_t kParts = 64, kLeastItems = 32, kMostItems = 4096;
constexpr std::int64_t kMostImageBytes = 128 << 20;  // a shard is laid out in memory

std::string ShardName(std::int64_t part) {
  char name[32];
  std::snprintf(name, sizeof(name), "shard-%05lld.h5", static_cast<long long>(part));
  return name;
}

std::uint64_t PixelHash(const Image& image) {
  return image.deep() ? Hash64({reinterpret_cast<const char*>(image.u16.data()),
                                image.u16.size() * sizeof(std::uint16_t)})
                      : Hash64({reinterpret_cast<const char*>(image.u8.data()), image.u8.size()});
}

RecordTrace Trace(const Record& record) {
  return {record.image_id,
          record.patient_id,
          RecordDigest(record),
          record.report_hash,
          PixelHash(record.image),
          std::any_of(record.box_valid.begin(), record.box_valid.end(),
                      [](int valid) { return valid != 0; })};
}

void WriteShard(const ShardBuilder& builder, const std::string& folder, ShardEntry* entry) {
  const std::string bytes = builder.Build();
  entry->bytes = bytes.size();
  entry->crc32c = Crc32c(bytes.data(), bytes.size());
  WriteFileAtomic(StrCat(folder, "/", entry->file), bytes);
}

std::string Text(const json& value) { return value.get<std::string>(); }

Part FromJson(const json& root) {
  Part part;
  part.read = root.at("read");
  const json& shard = root.at("shard");
  part.shard = {
      Text(shard.at("file")), shard.at("records"), shard.at("bytes"), shard.at("crc32c"), {}};
  for (const char split : Text(shard.at("splits")))
    part.shard.splits.push_back(static_cast<Split>(split - '0'));
  for (const json& record : root.at("records"))
    part.records.push_back({Text(record.at(0)), Text(record.at(1)), Text(record.at(2)),
                            record.at(3), record.at(4), record.at(5)});
  for (const json& entry : root.at("quarantined"))
    part.quarantined.push_back(
        {Text(entry.at(0)), Text(entry.at(1)), entry.at(2), Text(entry.at(3))});
  return part;
}

}  // namespace

PartPlan::PartPlan(std::int64_t items, int stored_size) : items(items) {
  const std::int64_t deep = std::int64_t{2} * stored_size * stored_size;
  const std::int64_t most = std::clamp<std::int64_t>(kMostImageBytes / deep, 1, kMostItems);
  items_per_part = std::min(most, std::max(kLeastItems, (items + kParts - 1) / kParts));
}

Part MakePart(const Importer& importer, const PartPlan& plan, std::int64_t index,
              const ShardShape& shape, const std::string& folder, const Tick& tick) {
  Part part;
  part.shard.file = ShardName(index);
  ShardBuilder builder(shape);
  for (std::int64_t item = plan.first(index); item < plan.last(index); ++item) {
    Converted converted = importer.Convert(item);
    ++part.read;
    for (Quarantined& entry : converted.quarantined) part.quarantined.push_back(std::move(entry));
    if (converted.record) {
      part.records.push_back(Trace(*converted.record));
      part.shard.splits.push_back(converted.record->split);
      if (!folder.empty()) builder.Add(*converted.record);
    }
    tick();
  }
  part.shard.records = static_cast<std::int64_t>(part.records.size());
  if (!folder.empty() && part.shard.records > 0) WriteShard(builder, folder, &part.shard);
  return part;
}

void WritePart(const std::string& path, const Part& part) {
  std::string splits;
  for (const Split split : part.shard.splits) splits += static_cast<char>('0' + int(split));
  json root = {{"read", part.read},
               {"shard",
                {{"file", part.shard.file},
                 {"records", part.shard.records},
                 {"bytes", part.shard.bytes},
                 {"crc32c", part.shard.crc32c},
                 {"splits", splits}}},
               {"records", json::array()},
               {"quarantined", json::array()}};
  for (const RecordTrace& record : part.records)
    root["records"].push_back({record.image_id, record.patient_id, record.digest, record.report,
                               record.pixels, record.boxes});
  for (const Quarantined& entry : part.quarantined)
    root["quarantined"].push_back({entry.source, entry.reason, entry.kept, entry.kind});
  WriteFileAtomic(path, root.dump(-1, ' ', false, json::error_handler_t::replace));
}

std::optional<Part> ReadPart(const std::string& path, const std::string& folder) {
  if (!Exists(path)) return {};
  try {
    Part part = FromJson(json::parse(ReadFile(path)));
    const std::string shard = StrCat(folder, "/", part.shard.file);
    const bool whole = folder.empty() || part.shard.records == 0 ||
                       (Exists(shard) && FileSize(shard) == part.shard.bytes);
    return whole ? std::optional(std::move(part)) : std::nullopt;
  } catch (const json::exception&) {
    return {};
  }
}

}  // namespace vesalius::data
