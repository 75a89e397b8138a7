#include "data/shards/shard_file.h"

#include <algorithm>
#include <charconv>

#include "base/file.h"

namespace vesalius::data {

struct ShardFile::Box {
  const Hdf5Array* array;
  bool deep;
  std::uint64_t start[4], count[4];
};

ShardFile::ShardFile(const std::string& path) : path_(path), arrays_(path, KeepIndex::kCache) {
  const auto format = arrays_.attributes().find(shard::kFormat);
  ValidShard(format != arrays_.attributes().end() && format->second == kShardFormat,
             "an HDF5 file, but not a shard of Vesalius");
  version_ = static_cast<std::uint32_t>(Attribute(shard::kVersion, 0, INT32_MAX));
  ValidShard(version_ >= kOldestSchema && version_ <= kSchemaVersion, "schema version ", version_,
             ", this program reads versions ", kOldestSchema, " to ", kSchemaVersion);
  records_ = Attribute(shard::kRecords, 0, INT32_MAX);
  shape_.stored_size = static_cast<int>(Attribute(shard::kStoredSize, 1, 1 << 15));
  shape_.channels = static_cast<int>(Attribute(shard::kChannels, 1, 4));
  shape_.findings = static_cast<int>(Attribute(shard::kFindings, 0, INT16_MAX));
  shape_.image_labels = static_cast<int>(Attribute(shard::kImageLabels, 0, INT16_MAX));
  const auto side = static_cast<std::uint64_t>(shape_.stored_size);
  const std::vector<std::uint64_t> image{side, side, static_cast<std::uint64_t>(shape_.channels)};
  u8_ = &Array(shard::kImageU8, "uint8", image);
  u16_ = &Array(shard::kImageU16, "uint16", image);
  CheckImages(*u8_);
  CheckImages(*u16_);
}

// So that a damaged file cannot ask for more memory than its size can account for.
void ShardFile::CheckImages(const Hdf5Array& images) const {
  constexpr std::uint64_t kMostDeflated = 1040;  // to one
  for (const ChunkPlace& chunk : images.chunks)
    ValidShard(chunk.offset != ChunkPlace::kNowhere, "data set '", images.path.substr(1),
               "' lacks some of its images");
  ValidShard(images.shape[0] == 0 ||
                 images.bytes() / images.shape[0] <= arrays_.file().size() * kMostDeflated,
             "data set '", images.path.substr(1), "' claims images larger than the file can hold");
}

std::int64_t ShardFile::Attribute(const char* name, std::int64_t low, std::int64_t high) const {
  const auto found = arrays_.attributes().find(name);
  ValidShard(found != arrays_.attributes().end(), "attribute '", name, "' is missing");
  const std::string& text = found->second;
  std::int64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  ValidShard(parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && value >= low &&
                 value <= high,
             "attribute '", name, "' is ", text);
  return value;
}

const Hdf5Array& ShardFile::Array(const std::string& name, const std::string& type,
                                  const std::vector<std::uint64_t>& tail) const {
  const Hdf5Array* array = arrays_.Find("/" + name);
  ValidShard(array != nullptr, "data set '", name, "' is missing");
  ValidShard(array->type.name == type, "data set '", name, "' has a wrong type");
  ValidShard(array->shape.size() == tail.size() + 1 &&
                 std::equal(tail.begin(), tail.end(), array->shape.begin() + 1),
             "data set '", name, "' has a wrong shape");
  ValidShard(array->direct(), "data set '", name, "' cannot be read by offset: ", array->indirect);
  return *array;
}

ShardFile::Box ShardFile::BoxOf(std::int64_t image_row, const Window& window) const {
  const bool deep = image_row < 0;
  const Hdf5Array* array = deep ? u16_ : u8_;
  const auto row = static_cast<std::uint64_t>(deep ? -1 - image_row : image_row);
  ValidShard(row < array->shape[0], "it names image ", row, " of ", array->shape[0]);
  const auto side = static_cast<std::uint64_t>(shape_.stored_size);
  const auto channels = static_cast<std::uint64_t>(shape_.channels);
  if (window.width == 0) return {array, deep, {row, 0, 0, 0}, {1, side, side, channels}};
  const auto at = [](int value) { return static_cast<std::uint64_t>(value); };
  Invariant(window.x >= 0 && window.y >= 0 && window.width > 0 && window.height > 0 &&
                window.x <= shape_.stored_size - window.width &&
                window.y <= shape_.stored_size - window.height,
            "window ", window.x, ",", window.y, " ", window.width, " x ", window.height,
            " of side ", shape_.stored_size);
  return {array,
          deep,
          {row, at(window.y), at(window.x), 0},
          {1, at(window.height), at(window.width), channels}};
}

Image ShardFile::ReadImage(std::int64_t image_row, const Window& window,
                           const Prefetched* ahead) const {
  const Box box = BoxOf(image_row, window);
  Image image;
  image.height = static_cast<int>(box.count[1]);
  image.width = static_cast<int>(box.count[2]);
  image.channels = shape_.channels;
  const std::size_t pixels = box.count[1] * box.count[2] * box.count[3];
  box.deep ? image.u16.resize(pixels) : image.u8.resize(pixels);
  void* out = box.deep ? static_cast<void*>(image.u16.data()) : image.u8.data();
  arrays_.Read(*box.array, box.start, box.count, out, ahead);
  return image;
}

void ShardFile::AddPlaces(std::int64_t image_row, const Window& window,
                          std::vector<ByteRange>& out) const {
  const Box box = BoxOf(image_row, window);
  const std::vector<ByteRange> places = arrays_.Places(*box.array, box.start, box.count);
  out.insert(out.end(), places.begin(), places.end());
}

void FailRecord(const std::string& path, std::int64_t row, const char* why) {
  Fail(ExitCode::kInvalidData, path, ", record ", row, " is damaged: ", why,
       "; copy the shard again or import the data anew");
}

bool IsHdf5(const std::string& path) {
  constexpr std::string_view kSignature("\x89HDF\r\n\x1a\n", 8);
  if (!Exists(path) || IsDir(path) || FileSize(path) < kSignature.size()) return false;
  std::string start(kSignature.size(), '\0');
  ReadAt(path, 0, start.data(), start.size());
  return start == kSignature;
}

std::unique_ptr<ShardReader> OpenShard(const std::string& path) {
  Require(Exists(path), ExitCode::kInputMissing, path,
          " does not exist; copy the data set again or import it anew");
  try {
    auto file = std::make_unique<ShardFile>(path);
    return file->version() == 1 ? OpenColumns(std::move(file)) : OpenRows(std::move(file));
  } catch (const Error& error) {
    Fail(error.code(), path, " is not a readable shard: ", error.what(),
         "; copy the data set again or import it anew");
  }
}

}  // namespace vesalius::data
