// The parts of an import, one shard each: made by whichever process, described by a file beside the
// shard once it is safely on disk, and put together in the end. OUT/.import holds the plan
// (plan.json: what is imported, with which options) and the parts' descriptions (part-NNNNN.json);
// a part without its description is made again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/import/importer.h"
#include "data/import/workers.h"
#include "data/shards/manifest.h"
#include "data/shards/shard_format.h"

namespace vesalius::data {

// What the end of an import needs to know of one record.
struct RecordTrace {
  std::string image_id, patient_id;
  std::string digest;                    // RecordDigest
  std::uint64_t report = 0, pixels = 0;  // hashes
  bool boxes = false;
};

struct Part {
  std::int64_t read = 0;
  ShardEntry shard;  // without a record there is no file
  std::vector<RecordTrace> records;
  std::vector<Quarantined> quarantined;
};

// Which items are in which part. Depends on the number of items and their size alone.
struct PartPlan {
  std::int64_t items = 0, items_per_part = 1;
  PartPlan(std::int64_t items, int stored_size);
  std::int64_t parts() const { return (items + items_per_part - 1) / items_per_part; }
  std::int64_t first(std::int64_t part) const { return part * items_per_part; }
  std::int64_t last(std::int64_t part) const {  // exclusive
    return std::min(items, first(part + 1));
  }
};

// Converts the items of `part` and, unless `folder` is empty, writes their shard there under its
// final name, durably.
Part MakePart(const Importer& importer, const PartPlan& plan, std::int64_t part,
              const ShardShape& shape, const std::string& folder, const Tick& tick);

// The description at `path`. Atomic.
void WritePart(const std::string& path, const Part& part);
// Nothing when there is none, when it is no description, or when its shard is not in `folder` with
// the size that it should have (an empty `folder` is not looked into).
std::optional<Part> ReadPart(const std::string& path, const std::string& folder);

}  // namespace vesalius::data
