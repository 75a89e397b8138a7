#include "data/hdf5/index.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/hdf5/index.pb.h"
#include "data/hdf5/survey.h"

namespace vesalius::data {
namespace {

constexpr std::string_view kMagic("VSLVIDX2", 8);
constexpr std::size_t kHead = 12;  // magic and CRC-32C of what follows
// Chunks; fewer are found as fast as read.
constexpr std::size_t kWorthKeeping = 256, kWorthCaching = 2048;

std::uint64_t HashHeaders(const RandomFile& file, const std::vector<ByteRange>& headers) {
  std::string bytes;
  for (const ByteRange& range : headers) {
    const std::size_t at = bytes.size();
    bytes.resize(at + range.bytes);
    file.Read(range.offset, bytes.data() + at, range.bytes);
  }
  return Hash64(bytes);
}

void ToProto(const Hdf5Array& array, pb::Hdf5ArrayEntry& out) {
  out.set_path(array.path);
  out.set_kind(static_cast<std::uint32_t>(array.type.kind));
  out.set_bytes(array.type.bytes);
  out.set_big_endian(array.type.big_endian);
  out.set_type_name(array.type.name);
  out.mutable_shape()->Add(array.shape.begin(), array.shape.end());
  out.set_layout(static_cast<std::uint32_t>(array.layout));
  out.set_offset(array.offset);
  out.set_compact(array.compact);
  out.mutable_chunk()->Add(array.chunk.begin(), array.chunk.end());
  for (const FilterStep& step : array.filters) {
    pb::Hdf5FilterStep* filter = out.add_filters();
    filter->set_id(step.id);
    filter->mutable_values()->Add(step.values.begin(), step.values.end());
  }
  out.set_places(array.chunks.data(), array.chunks.size() * sizeof(ChunkPlace));
  out.set_fill(array.fill);
  out.set_indirect(array.indirect);
  out.set_plain_edges(array.plain_edges);
  out.set_null(array.null);
}

Hdf5Array FromProto(const pb::Hdf5ArrayEntry& in) {
  Hdf5Array array;
  array.path = in.path();
  array.type = {static_cast<ElementType::Kind>(in.kind()), in.bytes(), in.big_endian(),
                in.type_name()};
  array.shape.assign(in.shape().begin(), in.shape().end());
  array.layout = static_cast<ArrayLayout>(in.layout());
  array.offset = in.offset();
  array.compact = in.compact();
  array.chunk.assign(in.chunk().begin(), in.chunk().end());
  for (const pb::Hdf5FilterStep& step : in.filters())
    array.filters.push_back({step.id(), {step.values().begin(), step.values().end()}});
  array.chunks.resize(in.places().size() / sizeof(ChunkPlace));
  if (!array.chunks.empty())
    std::memcpy(array.chunks.data(), in.places().data(), array.chunks.size() * sizeof(ChunkPlace));
  array.fill = in.fill();
  array.indirect = in.indirect();
  array.plain_edges = in.plain_edges();
  array.null = in.null();
  return array;
}

std::string Serialise(const RandomFile& file, const Hdf5Contents& contents) {
  pb::Hdf5Index index;
  index.set_file_bytes(file.size());
  index.set_modified_ns(file.modified_ns());
  for (const ByteRange& range : contents.headers) {
    index.add_header_offsets(range.offset);
    index.add_header_bytes(range.bytes);
  }
  index.set_header_hash(HashHeaders(file, contents.headers));
  index.mutable_attributes()->insert(contents.attributes.begin(), contents.attributes.end());
  for (const Hdf5Array& array : contents.arrays) ToProto(array, *index.add_arrays());
  const std::string payload = index.SerializeAsString();
  const std::uint32_t crc = Crc32c(payload.data(), payload.size());
  return std::string(kMagic) + std::string(reinterpret_cast<const char*>(&crc), 4) + payload;
}

// Keeps the index where that is possible; where it is not, nothing is lost but time.
void Keep(const std::vector<std::string>& places, const std::string& bytes) {
  for (const std::string& place : places) {
    try {
      MakeDirs(std::filesystem::path(place).parent_path().string());
      WriteFileAtomic(place, bytes);
      return;
    } catch (const Error&) {
      continue;
    }
  }
}

// Whether the file at `place` is an index of `file`, now in `contents`.
bool ReadKept(const std::string& place, const RandomFile& file, Hdf5Contents& contents) {
  try {
    return Exists(place) && !IsDir(place) && ParseIndex(ReadFile(place), file, contents);
  } catch (const Error&) {
    return false;  // unreadable, or the file shrank meanwhile
  }
}

}  // namespace

std::vector<std::string> IndexPaths(const std::string& path, KeepIndex keep) {
  std::vector<std::string> places;
  if (keep == KeepIndex::kBeside) places.push_back(path + ".vidx");
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  std::error_code error;
  const std::string real = std::filesystem::weakly_canonical(path, error).string();
  const std::string name = StrCat("vesalius/hdf5/", Hex64(Hash64(real)), ".vidx");
  if (cache != nullptr && *cache == '/')
    places.push_back(StrCat(cache, "/", name));
  else if (home != nullptr && *home == '/')
    places.push_back(StrCat(home, "/.cache/", name));
  return places;
}

bool ParseIndex(const std::string& bytes, const RandomFile& file, Hdf5Contents& contents) {
  if (bytes.size() < kHead || std::string_view(bytes).substr(0, kMagic.size()) != kMagic)
    return false;
  std::uint32_t crc = 0;
  std::memcpy(&crc, bytes.data() + kMagic.size(), sizeof(crc));
  if (Crc32c(bytes.data() + kHead, bytes.size() - kHead) != crc) return false;
  return ParseIndexPayload(std::string_view(bytes).substr(kHead), file, contents);
}

bool ParseIndexPayload(std::string_view bytes, const RandomFile& file, Hdf5Contents& contents) {
  pb::Hdf5Index index;
  if (bytes.size() > INT32_MAX ||
      !index.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return false;
  if (index.file_bytes() != file.size() || index.modified_ns() != file.modified_ns() ||
      index.header_offsets_size() != index.header_bytes_size())
    return false;
  contents = Hdf5Contents();
  for (int i = 0; i < index.header_offsets_size(); ++i)
    contents.headers.push_back({index.header_offsets(i), index.header_bytes(i)});
  contents.attributes.insert(index.attributes().begin(), index.attributes().end());
  for (const pb::Hdf5ArrayEntry& entry : index.arrays())
    contents.arrays.push_back(FromProto(entry));
  return Inconsistency(contents, file.size()).empty() &&
         HashHeaders(file, contents.headers) == index.header_hash();
}

Hdf5Contents ReadIndex(const RandomFile& file, KeepIndex keep) {
  Hdf5Contents contents;
  const std::vector<std::string> places = IndexPaths(file.path(), keep);
  for (const std::string& place : places)
    if (ReadKept(place, file, contents)) return contents;
  contents = SurveyHdf5(file.path());
  std::size_t chunks = 0;
  for (const Hdf5Array& array : contents.arrays) chunks += array.chunks.size();
  if (chunks >= (keep == KeepIndex::kBeside ? kWorthKeeping : kWorthCaching))
    Keep(places, Serialise(file, contents));
  return contents;
}

}  // namespace vesalius::data
