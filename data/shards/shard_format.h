// What the writer and the reader of shards must agree upon: names of data sets and attributes,
// which sentences a record may have, and the schema version. docs/formats.md tells the same in
// prose; whoever changes one changes the other and kSchemaVersion.
#pragma once

#include <cstdint>
#include <string>

#include "data/record.h"

namespace vesalius::data {

inline constexpr std::uint32_t kSchemaVersion = 2;  // of shards and manifest together
inline constexpr std::uint32_t kOldestSchema = 1;   // that is still read
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

// Chunked in square tiles, [rows, S, S, C]; in version 1 a chunk is an image.
inline constexpr char kImageU8[] = "image_u8";
inline constexpr char kImageU16[] = "image_u16";

// Contiguous, never filtered.
inline constexpr char kRecord[] = "record";      // one row a record (data/shards/shard_row.h)
inline constexpr char kSentence[] = "sentence";  // one row a sentence
inline constexpr char kText[] = "text";          // u8: the strings of all records

// Version 1: a data set for each field, contiguous, never filtered.
namespace v1 {
inline constexpr char kImageRow[] = "image_row";
inline constexpr char kCrc[] = "crc32c";
inline constexpr char kSplit[] = "split";
inline constexpr char kView[] = "view";
inline constexpr char kGeometry[] = "geometry";  // i32 [N,4]: original w, h, pad left, pad top
inline constexpr char kScale[] = "scale";
inline constexpr char kReportHash[] = "report_hash";
inline constexpr char kBoxes[] = "boxes";
inline constexpr char kBoxValid[] = "box_valid";
inline constexpr char kRegionLabels[] = "region_labels";
inline constexpr char kRegionAbnormal[] = "region_abnormal";
inline constexpr char kImageLabelRows[] = "image_label";
inline constexpr char kSentenceFirst[] = "sentence_first";  // u64 [N+1]
inline constexpr char kSentenceRegion[] = "sentence_region";
inline constexpr char kSentenceFinding[] = "sentence_finding";
inline constexpr char kSentencePolarity[] = "sentence_polarity";
// Strings: NAME_offsets u64 [rows+1] into NAME_bytes u8; no terminators.
inline constexpr char kImageId[] = "image_id";
inline constexpr char kStudyId[] = "study_id";
inline constexpr char kPatientId[] = "patient_id";
inline constexpr char kReport[] = "report";
inline constexpr char kSentence[] = "sentence_text";
inline std::string Offsets(const char* name) { return std::string(name) + "_offsets"; }
inline std::string Bytes(const char* name) { return std::string(name) + "_bytes"; }
}  // namespace v1
}  // namespace shard

}  // namespace vesalius::data
