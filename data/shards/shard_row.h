// The row that a shard keeps of each record (data sets `record` and `sentence`, packed, of HDF5's
// compound type) and the one list of its members, from which writer, reader and type are made. A
// new member is one more line in VisitRow.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <type_traits>

#include "data/record.h"
#include "data/shards/shard_format.h"

namespace vesalius::data {

// What a row holds besides the record's own fields.
struct ShardRow {
  std::int64_t image_row = 0;  // r >= 0: row r of image_u8; r < 0: row -1 - r of image_u16
  std::uint32_t crc32c = 0;    // FieldsCrc
  // Its strings in `text`, one behind the other: identifiers, report, then its sentences'.
  std::uint64_t text = 0;
  std::uint32_t text_bytes = 0;                                          // of all of them
  std::uint32_t image_id = 0, study_id = 0, patient_id = 0, report = 0;  // lengths
  std::uint64_t sentence = 0;                                            // first row in `sentence`
  std::uint32_t sentences = 0;
};

struct SentenceRow {
  std::uint8_t region = 0;
  std::int16_t finding = 0;
  std::int8_t polarity = 0;
  std::uint32_t text = 0;  // length
};

using RowDims = std::initializer_list<int>;

template <typename T>
auto* AsByte(T& value) {
  static_assert(sizeof(T) == 1);
  return reinterpret_cast<
      std::conditional_t<std::is_const_v<T>, const std::uint8_t, std::uint8_t>*>(&value);
}

// Calls visit(name, T* values, dims) for each member; dims {} is a scalar. The vectors of `record`
// have the sizes of `shape`. Row and Fields: ShardRow and Record, const or not.
template <typename Row, typename Fields, typename Visit>
void VisitRow(Row& row, Fields& record, const ShardShape& shape, Visit&& visit) {
  visit("image_row", &row.image_row, {});
  visit("crc32c", &row.crc32c, {});
  visit("split", AsByte(record.split), {});
  visit("view", AsByte(record.view), {});
  visit("original_width", &record.geometry.original_width, {});
  visit("original_height", &record.geometry.original_height, {});
  visit("pad_left", &record.geometry.pad_left, {});
  visit("pad_top", &record.geometry.pad_top, {});
  visit("scale", &record.geometry.scale, {});
  visit("report_hash", &record.report_hash, {});
  visit("boxes", &record.boxes[0].cx, {kRegions, 4});
  visit("box_valid", record.box_valid.data(), {kRegions});
  visit("region_abnormal", record.region_abnormal.data(), {kRegions});
  if (shape.findings > 0)
    visit("region_labels", record.region_labels.data(), {kRegions, shape.findings});
  if (shape.image_labels > 0)
    visit("image_label", record.image_labels.data(), {shape.image_labels});
  visit("text", &row.text, {});
  visit("text_bytes", &row.text_bytes, {});
  visit("image_id_bytes", &row.image_id, {});
  visit("study_id_bytes", &row.study_id, {});
  visit("patient_id_bytes", &row.patient_id, {});
  visit("report_bytes", &row.report, {});
  visit("sentence", &row.sentence, {});
  visit("sentences", &row.sentences, {});
}

template <typename Row, typename Visit>
void VisitSentence(Row& row, Visit&& visit) {
  visit("region", &row.region, {});
  visit("finding", &row.finding, {});
  visit("polarity", &row.polarity, {});
  visit("text_bytes", &row.text, {});
}

inline std::size_t RowCount(RowDims dims) {
  std::size_t count = 1;
  for (const int n : dims) count *= static_cast<std::size_t>(n);
  return count;
}

// A visitor that copies members out of packed bytes.
inline auto TakeFrom(const unsigned char* bytes) {
  return [bytes](const char*, auto* values, RowDims dims) mutable {
    const std::size_t size = RowCount(dims) * sizeof(*values);
    std::memcpy(values, bytes, size);
    bytes += size;
  };
}

}  // namespace vesalius::data
