// What `vesalius inspect` says and shows of a data set folder, a manifest or a shard file.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace vesalius::data {

// Whether `path` is a data set folder, a manifest or a shard.
bool IsDataset(const std::string& path);

// Counts, sizes, vocabularies, splits, leaks between them, fingerprint (docs/data.md, "Looking into
// a data set"); verifies every checksum. Reads one record at a time. Damage: Error(kInvalidData)
// naming file and record.
nlohmann::json InspectDataset(const std::string& path);

// The same as aligned tables for people. `found` is of a folder or a shard, not of a manifest
// alone.
std::string InspectionTables(const nlohmann::json& found);

// PNG files in `folder`: up to 16 images with their valid boxes, `sheets` with images from all over
// the data set, and `histograms` of what `found`, InspectDataset() of the same path, holds.
void DrawDataset(const std::string& path, const nlohmann::json& found, const std::string& folder);

}  // namespace vesalius::data
