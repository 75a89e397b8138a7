// The parts of DrawDataset().
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/images/image_codec.h"
#include "data/shards/shard_reader.h"

namespace vesalius::data {

// A hue of its own for each region; neighbours and the two sides differ much.
std::uint32_t RegionColour(int region);

// The record's image as RGB, enlarged by a whole number, with its valid boxes.
Canvas PictureOf(const Record& record, int zoom);

// Images with boxes and captions in grids, `folder`/sheet-1.png and so on, at most two. The images
// are taken at equal distances, so that every part of the data set is seen.
void DrawSheets(const std::vector<std::unique_ptr<ShardReader>>& shards, const std::string& folder);

// Distributions of sizes and report lengths, and bars for splits, views, regions and labels.
void DrawHistograms(const nlohmann::json& found, const std::string& folder);

}  // namespace vesalius::data
