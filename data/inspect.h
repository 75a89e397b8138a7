// What `vesalius inspect` says of a data set folder, a manifest or a shard file.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace vesalius::data {

// Whether `path` is a data set folder, a manifest or a shard.
bool IsDataset(const std::string& path);

// Counts, sizes, vocabularies, splits, fingerprint; verifies every checksum. Damage:
// Error(kInvalidData) naming file and record.
nlohmann::json InspectDataset(const std::string& path);

// Draws up to `count` images of the data set with their valid boxes as PNG files into `folder`.
void DrawDataset(const std::string& path, const std::string& folder, int count);

}  // namespace vesalius::data
