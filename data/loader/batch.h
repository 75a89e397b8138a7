// What the loader hands to a training step: one rank's slice of the global batch, already decoded,
// augmented, normalised and tokenised, with the loader's state after it. Plain memory; the trainer
// wraps it into tensors without a copy.
#pragma once

#include <cstdint>
#include <memory_resource>
#include <string>
#include <vector>

#include "data/record.h"

namespace vesalius::data {

// Texts as padded token ids, [rows, length] row-major, 0 = [PAD].
struct TokenRows {
  std::int64_t rows = 0, length = 0;
  std::vector<std::int64_t> ids;
};

// What a distinct text of the fine loss says; equal hashes are equal texts on every rank.
struct TextSignature {
  std::int64_t hash = 0;     // Hash64(NormalisedText), as a signed integer
  std::int64_t region = 0;   // which region it speaks of
  std::int64_t finding = 0;  // index, kNormalStatement or kUnknownStatement
  std::int64_t polarity = 0;
};

// One source's share of the position; a list from the start, so that mixtures need no new format.
struct SourcePosition {
  std::string fingerprint;
  std::int64_t epoch = 0;
  std::int64_t position = 0;  // samples of this epoch already consumed, over all ranks
};

// Where the loader stands after a batch, identical on all ranks and free of the world size
// (data/loader/loader_state.proto is its stored form).
struct LoaderState {
  std::uint64_t seed = 0;
  std::int64_t global_batch = 0;
  std::int64_t samples = 0;     // consumed over the whole run
  std::int64_t unreadable = 0;  // of these, what could not be read (the trainer counts)
  std::vector<SourcePosition> sources;
};

std::string SerializeLoaderState(const LoaderState& state);
LoaderState ParseLoaderState(std::string_view bytes);  // Error(kInvalidData) when it is not one

struct Batch {
  explicit Batch(std::pmr::memory_resource* pixel_memory = std::pmr::get_default_resource())
      : images(pixel_memory) {}

  std::int64_t rows = 0;     // local images; may be fewer than planned, or zero
  std::int64_t padding = 0;  // of these, how many at the end are no samples (Tail::kPad)
  int channels = 1, size = 0;
  std::vector<std::int64_t> sample_ids;      // [rows] index in the data set
  std::pmr::vector<float> images;            // [rows, channels, size, size], normalised
  std::vector<float> boxes;                  // [rows, 29, 4] cx cy w h of the augmented square
  std::vector<std::uint8_t> box_valid;       // [rows, 29]
  std::vector<std::int8_t> region_labels;    // [rows, 29, F]
  std::vector<std::int8_t> region_abnormal;  // [rows, 29]
  std::vector<std::int8_t> image_labels;     // [rows, K]

  // Fine loss: the text chosen for each region (index into `texts`, or -1: the row is left out) and
  // whether it is true of the region.
  std::vector<std::int32_t> region_text;  // [rows, 29]
  std::vector<std::int8_t> region_truth;  // [rows, 29]
  TokenRows texts;                        // distinct texts of this rank
  std::vector<TextSignature> signatures;  // [texts.rows]

  TokenRows reports;                      // [rows, *]
  std::vector<std::int64_t> report_hash;  // [rows]

  std::int64_t unreadable = 0;  // local records that could not be read and are missing from `rows`
  LoaderState state;            // after this batch
  // Seconds: what Next() blocked; and summed over threads, what reading took, decoding of records
  // and texts, pixels and boxes.
  double wait_s = 0, read_s = 0, decode_s = 0, augment_s = 0;
};

}  // namespace vesalius::data
