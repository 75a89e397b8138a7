// From a stored square to what the model sees: resampling, augmentation and normalisation of
// pixels, with the boxes following the geometry (model.md 3.9). Pure functions: the result depends
// on the arguments and the random stream alone. No mirroring, because left and right are findings.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"
#include "data/dataset.h"
#include "data/loader/pipeline.h"
#include "data/record.h"

namespace vesalius::data {

// Boxes of one image, normalised to its square; an invalid one is all zeros.
struct RegionBoxes {
  std::array<Box, kRegions> box{};
  std::array<std::uint8_t, kRegions> valid{};
};

// How the model looks at a stored square: a crop of side `side` about `centre`, resized to the
// output, shifted and rotated; then brightness as a factor and contrast about the image's mean,
// both clamped to [0, 1]. Lengths are shares of the square's side. Default: all of it, as it is.
struct Look {
  double centre_x = 0.5, centre_y = 0.5, side = 1, shift_x = 0, shift_y = 0, cos = 1, sin = 0;
  double brightness = 1, contrast = 1;
};

// As the options' augmentation says. Always draws the same number of values, so one option's value
// does not change what another draws.
Look DrawLook(const PipelineOptions& options, Random& random);

// The part of a stored square that Render() needs for this look: reading more makes no difference
// to a bit.
Window WindowOf(const Look& look, int stored_size, int image_size);

// The look of a sample in an epoch and the part of its stored square to read for it: drawn from a
// stream of their own, so that it does not matter which rank or thread asks. Without augmentation
// the default look at all of it.
struct SampleLook {
  Look look;
  Window window;
};
SampleLook LookOf(const PipelineOptions& options, int stored_size, std::int64_t epoch,
                  std::int64_t sample);

// `image`, the `window` of a stored square (all of it at width 0), seen through `look`, normalised
// -> `pixels` [channels, image_size, image_size]: one affine resampling; black outside the square.
void Render(const Image& image, const Window& window, int stored_size, const Look& look,
            const PipelineOptions& options, std::span<float> pixels);

// A box becomes the hull of its mapped corners, clipped to the square, and stays valid where at
// least half of the hull's area remains.
RegionBoxes MapBoxes(const RegionBoxes& boxes, const Look& look);

// Floats of one image: channels * image_size * image_size.
std::size_t PixelCount(const PipelineOptions& options);

// The image without augmentation -> `pixels` [channels, image_size, image_size], (value/max - mean)
// / std with max 255 or 65535; exactly that where image_size is the stored size, else resampled.
// Grey is replicated to three channels, colour becomes luma (ITU-R 601) on one. Boxes stay as they
// are. Uses image_size, channels, mean and std of the options; the image must be square
// (Invariant).
void Prepare(const Image& image, const PipelineOptions& options, std::span<float> pixels);
std::vector<float> Prepare(const Record& record, const PipelineOptions& options);

}  // namespace vesalius::data
