// Gathers records and lays them out as one HDF5 file, in memory: the library never touches the
// disk, so that writing is base/file.h's business and a full disk is an ordinary error there. The
// bytes depend on the records alone (no times, no addresses).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/record.h"
#include "data/shards/shard_format.h"

namespace vesalius::data {

// A column of strings: offsets and bytes.
struct StringColumn {
  std::vector<std::uint64_t> offsets{0};
  std::vector<char> bytes;
  void Add(const std::string& text) {
    bytes.insert(bytes.end(), text.begin(), text.end());
    offsets.push_back(bytes.size());
  }
};

class ShardBuilder {
 public:
  explicit ShardBuilder(const ShardShape& shape) : shape_(shape) {}

  // A record of another shape is a bug of the caller's.
  void Add(const Record& record);

  std::int64_t records() const { return static_cast<std::int64_t>(splits_.size()); }
  std::uint64_t image_bytes() const { return u8_.size() + u16_.size() * sizeof(std::uint16_t); }
  const std::vector<Split>& splits() const { return splits_; }

  // The bytes of the HDF5 file.
  std::string Build() const;

 private:
  void CheckShape(const Record& record) const;
  void WriteAttributes(std::int64_t file) const;  // an HDF5 identifier
  void WriteColumns(std::int64_t file) const;

  ShardShape shape_;
  std::vector<std::uint8_t> u8_;
  std::vector<std::uint16_t> u16_;
  std::int64_t u8_rows_ = 0, u16_rows_ = 0;
  std::vector<std::int64_t> image_row_;
  std::vector<std::uint32_t> crc_;
  std::vector<Split> splits_;
  std::vector<std::uint8_t> view_, box_valid_, sentence_region_;
  std::vector<std::int32_t> geometry_;
  std::vector<float> scale_;
  std::vector<Box> boxes_;
  std::vector<std::uint64_t> report_hash_, sentence_first_{0};
  std::vector<std::int8_t> region_labels_, region_abnormal_, image_labels_, sentence_polarity_;
  std::vector<std::int16_t> sentence_finding_;
  StringColumn image_id_, study_id_, patient_id_, report_, sentence_text_;
};

}  // namespace vesalius::data
