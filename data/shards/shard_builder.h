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
  void WriteRows(std::int64_t file) const;

  ShardShape shape_;
  std::vector<std::uint8_t> u8_;
  std::vector<std::uint16_t> u16_;
  std::int64_t u8_rows_ = 0, u16_rows_ = 0;
  std::vector<Split> splits_;
  std::string rows_, sentence_rows_, text_;  // as they are stored
  std::uint64_t sentences_ = 0;
};

}  // namespace vesalius::data
