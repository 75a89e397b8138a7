// How a shard cuts its images into chunks and which filters it uses, chosen from the images
// themselves: sizes of a sample, never times, so that equal records give equal bytes.
#pragma once

#include <span>
#include <string>

#include "data/hdf5/encode.h"

namespace vesalius::data {

// Images of one pixel type, one behind the other: [rows, side, side, channels].
struct ImageBlock {
  std::span<const unsigned char> pixels;
  std::int64_t rows = 0;
  int side = 0, channels = 1;
  std::size_t pixel_bytes = 1;  // of one channel

  std::size_t image_bytes() const { return pixel_bytes * channels * side * side; }
};

struct TilePlan {
  int tile = 0;  // side; equal to the image's: not cut
  ChunkFilters filters;
};

// Deflate where it saves a tenth, shuffle where that saves more; of the sides that are tried the
// one with the least bytes to read (and a fixed cost a chunk), on average over the whole image and
// a window of 7/16 of its side (224 of 512) at any place.
TilePlan ChooseTiles(const ImageBlock& block);

// The stored bytes of the tile in row `y` and column `x` of tiles of image `row`; zeros beyond the
// image.
std::string EncodeTile(const ImageBlock& block, const TilePlan& plan, std::int64_t row, int y,
                       int x);

}  // namespace vesalius::data
