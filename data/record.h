// One image-report pair, as every importer makes it and every shard stores it (docs/formats.md).
// Plain memory, no tensors.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace vesalius::data {

inline constexpr int kRegions = 29;

// The Chest ImaGenome regions in the order of their ids (rgrg order, `bbox_name`s). "right" is the
// patient's right, at the left of the picture.
extern const std::array<const char*, kRegions> kRegionNames;

// Region id of `name` (case-insensitive), or -1.
int RegionId(std::string_view name);

enum class Split : std::uint8_t { kTrain = 0, kValid = 1, kTest = 2 };
const char* SplitName(Split split);
Split ParseSplit(
    std::string_view name);  // accepts "validate", "val", "dev"; else Error(kInvalidData)

enum class View : std::uint8_t { kUnknown = 0, kAp = 1, kPa = 2, kLateral = 3 };

// Centre and extent, normalised to the padded square in which the image is stored.
struct Box {
  float cx = 0, cy = 0, w = 0, h = 0;
};

// Pixels, row-major, channels last. Exactly one of the two vectors is filled.
struct Image {
  int width = 0, height = 0, channels = 1;
  std::vector<std::uint8_t> u8;    // when the source has at most 8 bits
  std::vector<std::uint16_t> u16;  // when it has more
  bool deep() const { return !u16.empty(); }
};

// How the stored square relates to the source: x_stored = x_source * scale + pad_left.
struct Geometry {
  int original_width = 0, original_height = 0;
  float scale = 1;
  int pad_left = 0, pad_top = 0;
};

// What a sentence says of its region, as far as it is known.
inline constexpr int kNormalStatement =
    -1;  // "the <region> is normal" (polarity 0) or abnormal (1)
inline constexpr int kUnknownStatement = -2;  // free text without a label
struct Sentence {
  std::string text;
  std::int16_t finding =
      kUnknownStatement;     // index into the manifest's findings, or one of the above
  std::int8_t polarity = 0;  // 1 present (abnormal), 0 absent (normal)
};

struct Record {
  std::string image_id, study_id, patient_id;
  Split split = Split::kTrain;
  View view = View::kUnknown;
  Image image;  // a square of the data set's stored size, zero-padded
  Geometry geometry;
  std::string report;
  std::uint64_t report_hash = 0;  // Hash64 of NormalisedText(report); equal for duplicate reports
  std::array<Box, kRegions> boxes{};
  std::array<std::uint8_t, kRegions> box_valid{};
  std::array<std::vector<Sentence>, kRegions> sentences;
  std::vector<std::int8_t> region_labels;  // [29 * findings]: 1 yes, 0 no, -1 not mentioned
  std::array<std::int8_t, kRegions> region_abnormal;  // 1, 0, -1
  std::vector<std::int8_t> image_labels;              // [labels]: 1, 0, -1

  Record() { region_abnormal.fill(-1); }
};

// Lower case, runs of white space made one space, trimmed: the form in which texts are compared.
std::string NormalisedText(std::string_view text);

}  // namespace vesalius::data
