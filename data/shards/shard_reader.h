// Random access to the records of one shard file, one by one or a batch at a time. Bytes are read
// by offset and decoded on the calling thread (data/hdf5/array_file.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "data/fetched.h"
#include "data/record.h"
#include "data/shards/shard_format.h"

namespace vesalius::data {

class ShardReader {
 public:
  virtual ~ShardReader() = default;
  virtual std::int64_t records() const = 0;
  virtual const ShardShape& shape() const = 0;
  virtual std::uint32_t schema_version() const = 0;
  // The record in `row`, its checksums verified. Thread-safe. Unreadable or damaged:
  // Error(kInvalidData) naming file and record.
  virtual Record Read(std::int64_t row) const = 0;
  // As Dataset's, of rows.
  virtual std::unique_ptr<Fetched> Fetch(std::span<const SampleRequest> requests) const = 0;
  virtual std::string Report(std::int64_t row) const { return Read(row).report; }
  // As ArrayFile's.
  virtual std::uint64_t chunks() const = 0;
  virtual std::int64_t Audit(std::uint64_t count, std::uint64_t seed) const = 0;
};

// Whether the file begins like HDF5.
bool IsHdf5(const std::string& path);

// Opens a shard and checks version, names, types and sizes of all its data sets, so that Read()
// meets damaged values only. Errors: kInputMissing, kInvalidData.
std::unique_ptr<ShardReader> OpenShard(const std::string& path);

}  // namespace vesalius::data
