#include "data/hdf5/index.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/hdf5/chunk_table.h"
#include "data/hdf5/index.pb.h"
#include "data/hdf5/survey.h"

namespace vesalius::data {
namespace {

constexpr std::string_view kMagic("VSLVIDX1", 8);
constexpr std::size_t kHead = 12;             // magic and CRC-32C of what follows
constexpr std::size_t kWorthKeeping = 256;    // chunks; fewer are found as fast as read
constexpr std::uint64_t kSuperblock = 2048;   // bytes from the file's beginning that are hashed
constexpr std::uint64_t kObjectHeader = 256;  // and from each object header's

std::uint64_t HashHeaders(const RandomFile& file, const std::vector<Hdf5Array>& arrays) {
  std::string bytes;
  const auto add = [&](std::uint64_t offset, std::uint64_t count) {
    if (offset >= file.size()) return;
    const std::size_t at = bytes.size();
    bytes.resize(at + std::min(count, file.size() - offset));
    file.Read(offset, bytes.data() + at, bytes.size() - at);
  };
  add(0, kSuperblock);
  for (const Hdf5Array& array : arrays) add(array.header, kObjectHeader);
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
  out.set_header(array.header);
}

// Whether what was read can be used without reaching outside the file or the arrays themselves.
bool Consistent(const Hdf5Array& array, const RandomFile& file) {
  const auto inside = [&](std::uint64_t offset, std::uint64_t bytes) {
    return offset == ChunkPlace::kNowhere ||
           (offset <= file.size() && bytes <= file.size() - offset);
  };
  if (!array.direct()) return true;
  if (array.fill.size() != array.type.bytes) return false;
  switch (array.layout) {
    case ArrayLayout::kContiguous:
      return inside(array.offset, array.bytes());
    case ArrayLayout::kCompact:
      return array.compact.size() == array.bytes();
    case ArrayLayout::kElsewhere:
      return false;
    case ArrayLayout::kChunked:
      break;
  }
  if (array.chunk.size() != array.shape.size() ||
      std::count(array.chunk.begin(), array.chunk.end(), 0) > 0)
    return false;
  std::uint64_t grid = 1;
  for (const std::uint64_t dim : ChunkGrid(array)) grid *= dim;
  return (array.chunks.size() == grid || array.elements() == 0) &&
         std::all_of(array.chunks.begin(), array.chunks.end(),
                     [&](const ChunkPlace& c) { return inside(c.offset, c.bytes); });
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
  array.header = in.header();
  return array;
}

std::string Serialise(const RandomFile& file, const std::vector<Hdf5Array>& arrays) {
  pb::Hdf5Index index;
  index.set_file_bytes(file.size());
  index.set_modified_ns(file.modified_ns());
  index.set_headers(HashHeaders(file, arrays));
  for (const Hdf5Array& array : arrays) ToProto(array, *index.add_arrays());
  const std::string payload = index.SerializeAsString();
  const std::uint32_t crc = Crc32c(payload.data(), payload.size());
  return std::string(kMagic) + std::string(reinterpret_cast<const char*>(&crc), 4) + payload;
}

// Keeps the index where that is possible; where it is not, nothing is lost but time.
void Keep(const std::string& path, const std::string& bytes) {
  for (const std::string& place : IndexPaths(path)) {
    try {
      MakeDirs(std::filesystem::path(place).parent_path().string());
      WriteFileAtomic(place, bytes);
      return;
    } catch (const Error&) {
      continue;
    }
  }
}

}  // namespace

std::vector<std::string> IndexPaths(const std::string& path) {
  std::vector<std::string> places{path + ".vidx"};
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

bool ParseIndex(const std::string& bytes, const RandomFile& file, std::vector<Hdf5Array>& arrays) {
  if (bytes.size() < kHead || std::string_view(bytes).substr(0, kMagic.size()) != kMagic)
    return false;
  std::uint32_t crc = 0;
  std::memcpy(&crc, bytes.data() + kMagic.size(), sizeof(crc));
  if (Crc32c(bytes.data() + kHead, bytes.size() - kHead) != crc) return false;
  pb::Hdf5Index index;
  if (!index.ParseFromArray(bytes.data() + kHead, static_cast<int>(bytes.size() - kHead)))
    return false;
  if (index.file_bytes() != file.size() || index.modified_ns() != file.modified_ns()) return false;
  arrays.clear();
  for (const pb::Hdf5ArrayEntry& entry : index.arrays()) {
    arrays.push_back(FromProto(entry));
    if (!Consistent(arrays.back(), file)) return false;
  }
  return HashHeaders(file, arrays) == index.headers();
}

std::vector<Hdf5Array> ReadIndex(const RandomFile& file) {
  std::vector<Hdf5Array> arrays;
  for (const std::string& place : IndexPaths(file.path()))
    if (Exists(place) && ParseIndex(ReadFile(place), file, arrays)) return arrays;
  arrays = SurveyHdf5(file.path());
  std::size_t chunks = 0;
  for (const Hdf5Array& array : arrays) chunks += array.chunks.size();
  if (chunks >= kWorthKeeping) Keep(file.path(), Serialise(file, arrays));
  return arrays;
}

}  // namespace vesalius::data
