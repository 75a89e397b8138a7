// Random access to the records of one shard file, whatever way its bytes are read: the seam behind
// which reading may become faster (a chunk index and own decoding) while callers stay the same.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "data/record.h"
#include "data/shards/shard_format.h"

namespace vesalius::data {

class ShardReader {
 public:
  virtual ~ShardReader() = default;
  virtual std::int64_t records() const = 0;
  virtual const ShardShape& shape() const = 0;
  // The record in `row`, its checksum verified. Thread-safe. Unreadable or damaged:
  // Error(kInvalidData) naming file and record.
  virtual Record Read(std::int64_t row) const = 0;
};

// Whether the file begins like HDF5.
bool IsHdf5(const std::string& path);

// Opens a shard and checks version, names, types and sizes of all its data sets, so that Read()
// meets damaged values only. Errors: kInputMissing, kInvalidData.
std::unique_ptr<ShardReader> OpenShard(const std::string& path);

}  // namespace vesalius::data
