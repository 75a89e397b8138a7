// From a stored square to what the model sees: resampling, augmentation and normalisation of
// pixels, with the boxes following the geometry (model.md 3.9). Pure functions: the result depends
// on the arguments and the random stream alone. No mirroring, because left and right are findings.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"
#include "data/loader/pipeline.h"
#include "data/record.h"

namespace vesalius::data {

// Boxes of one image, normalised to its square; an invalid one is all zeros.
struct RegionBoxes {
  std::array<Box, kRegions> box{};
  std::array<std::uint8_t, kRegions> valid{};
};

// Floats of one image: channels * image_size * image_size.
std::size_t PixelCount(const PipelineOptions& options);

// The image without augmentation -> `pixels` [channels, image_size, image_size], (value/max - mean)
// / std with max 255 or 65535; exactly that where image_size is the stored size, else resampled.
// Grey is replicated to three channels, colour becomes luma (ITU-R 601) on one. Boxes stay as they
// are. Uses image_size, channels, mean and std of the options; the image must be square
// (Invariant).
void Prepare(const Image& image, const PipelineOptions& options, std::span<float> pixels);
std::vector<float> Prepare(const Record& record, const PipelineOptions& options);

// As Prepare() with the options' augmentation: one affine resampling (crop of side [min_crop, 1]
// resized, shift, rotation about the crop's centre; black outside the image), brightness as a
// factor, contrast about the image's mean, both clamped to [0, 1]. A box becomes the hull of its
// mapped corners, clipped to the square, and stays valid where at least half of the hull's area
// remains. Always draws the same number of values, so one option's value does not change what
// another draws.
RegionBoxes Augment(const Image& image, const RegionBoxes& boxes, const PipelineOptions& options,
                    Random& random, std::span<float> pixels);

}  // namespace vesalius::data
