// A data set folder opened as it lies on disk: manifest and shards, checked against each other.
// What Dataset, VerifyDataset and inspect share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/shards/manifest.h"
#include "data/shards/shard_reader.h"

namespace vesalius::data {

struct DatasetFiles {
  Manifest manifest;
  std::vector<std::unique_ptr<ShardReader>> shards;  // in the manifest's order
};

// Checks the manifest, and of each shard presence, size on disk, record count and shape; reads no
// record. Errors: kInputMissing, kInvalidData.
DatasetFiles OpenDatasetFiles(const std::string& folder);

struct Damage {
  std::string file;
  std::int64_t record = -1;  // row in the shard, or -1: the file as a whole
  std::string reason;        // a whole sentence, naming file and record
};

// Reads every byte: the manifest's and the shards' checksums, every record's, splits and
// fingerprint. Empty when all is well. `visit`, where given, sees every good record in the
// manifest's order. Missing manifest: Error(kInputMissing).
std::vector<Damage> VerifyDataset(const std::string& folder,
                                  const std::function<void(const Record&)>& visit = {});

}  // namespace vesalius::data
