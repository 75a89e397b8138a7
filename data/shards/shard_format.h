// What the writer and the reader of shards must agree upon: names of data sets and attributes,
// which sentences a record may have, and the schema version. docs/formats.md tells the same in
// prose; whoever changes one changes the other and kSchemaVersion.
#pragma once

#include <cstdint>
#include <string>

#include "data/record.h"

namespace vesalius::data {

inline constexpr std::uint32_t kSchemaVersion = 1;  // of shards and manifest together
inline constexpr char kShardFormat[] = "vesalius-shard";

// The sizes that all records of a data set share; attributes of each shard.
struct ShardShape {
  int stored_size = 0, channels = 1;
  int findings = 0, image_labels = 0;
  bool operator==(const ShardShape&) const = default;

  bool Holds(std::int16_t sentence_finding) const {
    return sentence_finding >= kUnknownStatement && sentence_finding < findings;
  }
};
inline bool IsPolarity(std::int8_t value) { return value == 0 || value == 1; }

namespace shard {
// Attributes of the root group.
inline constexpr char kFormat[] = "format";           // fixed string
inline constexpr char kVersion[] = "schema_version";  // the rest: int64
inline constexpr char kRecords[] = "records";
inline constexpr char kStoredSize[] = "stored_size";
inline constexpr char kChannels[] = "channels";
inline constexpr char kFindings[] = "findings";
inline constexpr char kImageLabels[] = "image_labels";

// Chunked, one record a chunk, deflated: [rows, S, S, C].
inline constexpr char kImageU8[] = "image_u8";
inline constexpr char kImageU16[] = "image_u16";

// Contiguous, never filtered, so that a row's place in the file follows from the data set's offset.
inline constexpr char kImageRow[] =
    "image_row";                           // i64 [N]: row of image_u8, or -1 - row of image_u16
inline constexpr char kCrc[] = "crc32c";   // u32 [N]
inline constexpr char kSplit[] = "split";  // u8 [N]
inline constexpr char kView[] = "view";    // u8 [N]
inline constexpr char kGeometry[] = "geometry";       // i32 [N,4]: original w, h, pad left, pad top
inline constexpr char kScale[] = "scale";             // f32 [N]
inline constexpr char kReportHash[] = "report_hash";  // u64 [N]
inline constexpr char kBoxes[] = "boxes";             // f32 [N,29,4]
inline constexpr char kBoxValid[] = "box_valid";      // u8 [N,29]
inline constexpr char kRegionLabels[] = "region_labels";          // i8 [N,29,F]
inline constexpr char kRegionAbnormal[] = "region_abnormal";      // i8 [N,29]
inline constexpr char kImageLabelRows[] = "image_label";          // i8 [N,K]
inline constexpr char kSentenceFirst[] = "sentence_first";        // u64 [N+1]
inline constexpr char kSentenceRegion[] = "sentence_region";      // u8 [M]
inline constexpr char kSentenceFinding[] = "sentence_finding";    // i16 [M]
inline constexpr char kSentencePolarity[] = "sentence_polarity";  // i8 [M]

// Strings: NAME_offsets u64 [rows+1] into NAME_bytes u8; no terminators.
inline constexpr char kImageId[] = "image_id";
inline constexpr char kStudyId[] = "study_id";
inline constexpr char kPatientId[] = "patient_id";
inline constexpr char kReport[] = "report";
inline constexpr char kSentence[] = "sentence_text";
inline std::string Offsets(const char* name) { return std::string(name) + "_offsets"; }
inline std::string Bytes(const char* name) { return std::string(name) + "_bytes"; }
}  // namespace shard

}  // namespace vesalius::data
