// What the readers of all versions of a shard share: the file, its attributes, its images.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "data/dataset.h"
#include "data/hdf5/array_file.h"
#include "data/shards/shard_format.h"
#include "data/shards/shard_reader.h"

namespace vesalius::data {

// Error(kInvalidData) unless `ok`.
template <typename... Parts>
void ValidShard(bool ok, const Parts&... parts) {
  Require(ok, ExitCode::kInvalidData, parts...);
}

class ShardFile {
 public:
  // Error(kInvalidData): not a shard, or its images are not what its attributes say.
  explicit ShardFile(const std::string& path);

  const std::string& path() const { return path_; }
  const ArrayFile& arrays() const { return arrays_; }
  std::uint32_t version() const { return version_; }
  std::int64_t records() const { return records_; }
  const ShardShape& shape() const { return shape_; }

  // The data set `name` of elements called `type`, whose extent beyond the first dimension is
  // `tail`.
  const Hdf5Array& Array(const std::string& name, const std::string& type,
                         const std::vector<std::uint64_t>& tail) const;

  // The window of the image that `image_row` names (shard_row.h); empty: all of it.
  Image ReadImage(std::int64_t image_row, const Window& window, const Prefetched* ahead) const;
  // Appends where its stored parts lie.
  void AddPlaces(std::int64_t image_row, const Window& window, std::vector<ByteRange>& out) const;

 private:
  struct Box;
  std::int64_t Attribute(const char* name, std::int64_t low, std::int64_t high) const;
  void CheckImages(const Hdf5Array& images) const;
  Box BoxOf(std::int64_t image_row, const Window& window) const;

  std::string path_;
  ArrayFile arrays_;
  std::uint32_t version_ = 0;
  std::int64_t records_ = 0;
  ShardShape shape_;
  const Hdf5Array *u8_ = nullptr, *u16_ = nullptr;
};

// Readers by version.
std::unique_ptr<ShardReader> OpenColumns(std::unique_ptr<ShardFile> file);  // 1
std::unique_ptr<ShardReader> OpenRows(std::unique_ptr<ShardFile> file);     // 2

// The error of a record that cannot be read, `why` being a part of a sentence.
[[noreturn]] void FailRecord(const std::string& path, std::int64_t row, const char* why);

}  // namespace vesalius::data
