#include "data/shards/tile_plan.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace vesalius::data {
namespace {

constexpr std::int64_t kSample = 4;       // images
constexpr double kChunkCost = 2048;       // bytes that could be read in the time a chunk costs
constexpr double kWindow = 7.0 / 16;      // of the side
constexpr double kWorthDeflating = 0.9;   // of the size
constexpr int kTiles[] = {256, 128, 64};  // sides that are tried

int TilesAlong(const ImageBlock& block, int tile) { return (block.side + tile - 1) / tile; }

// Mean stored bytes of an image of the sample.
double SampledBytes(const ImageBlock& block, const TilePlan& plan) {
  const std::int64_t images = std::min(kSample, block.rows);
  const int along = TilesAlong(block, plan.tile);
  std::size_t bytes = 0;
  for (std::int64_t i = 0; i < images; ++i)
    for (int y = 0; y < along; ++y)
      for (int x = 0; x < along; ++x)
        bytes += EncodeTile(block, plan, i * block.rows / images, y, x).size();
  return static_cast<double>(bytes) / static_cast<double>(images);
}

double Cost(const ImageBlock& block, const TilePlan& plan, double bytes) {
  const double along = TilesAlong(block, plan.tile), tiles = along * along;
  const double touched = std::min(along, (kWindow * block.side + plan.tile - 1) / plan.tile);
  return (bytes + kChunkCost * tiles) * (1 + touched * touched / tiles) / 2;
}

}  // namespace

TilePlan ChooseTiles(const ImageBlock& block) {
  TilePlan best{block.side, {}};
  if (block.rows == 0) return best;
  double bytes = kWorthDeflating * SampledBytes(block, best);
  for (const bool shuffle : {false, true}) {
    if (shuffle && block.pixel_bytes == 1) continue;
    const TilePlan plan{block.side, {shuffle, true, true}};
    const double deflated = SampledBytes(block, plan);
    if (deflated >= bytes) continue;
    bytes = deflated;
    best = plan;
  }
  if (!best.filters.deflate) bytes /= kWorthDeflating;
  double cost = Cost(block, best, bytes);
  for (const int tile : kTiles) {
    if (tile >= block.side) continue;
    const TilePlan plan{tile, best.filters};
    const double other = Cost(block, plan, SampledBytes(block, plan));
    if (other >= cost) continue;
    cost = other;
    best = plan;
  }
  return best;
}

std::string EncodeTile(const ImageBlock& block, const TilePlan& plan, std::int64_t row, int y,
                       int x) {
  const std::size_t pixel = block.pixel_bytes * static_cast<std::size_t>(block.channels);
  const auto side = static_cast<std::size_t>(block.side),
             tile = static_cast<std::size_t>(plan.tile);
  const unsigned char* image =
      block.pixels.data() + static_cast<std::size_t>(row) * block.image_bytes();
  std::vector<unsigned char> values(tile * tile * pixel, 0);
  const std::size_t left = static_cast<std::size_t>(x) * tile,
                    top = static_cast<std::size_t>(y) * tile;
  const std::size_t width = std::min(tile, side - left);
  for (std::size_t r = 0; r < tile && top + r < side; ++r)
    std::memcpy(values.data() + r * tile * pixel, image + ((top + r) * side + left) * pixel,
                width * pixel);
  return EncodeChunk(values, block.pixel_bytes, plan.filters);
}

}  // namespace vesalius::data
