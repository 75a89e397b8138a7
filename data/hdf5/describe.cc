#include "data/hdf5/describe.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "data/hdf5/array_file.h"
#include "data/shards/shard_reader.h"

namespace vesalius::data {
namespace {

using nlohmann::json;
using Kind = ElementType::Kind;

constexpr std::size_t kShownStrings = 3, kShownBytes = 60;

std::string FilterName(const FilterStep& step) {
  switch (step.id) {
    case 1:
      return step.values.empty() ? "gzip" : StrCat("gzip ", step.values[0]);
    case 2:
      return "shuffle";
    case 3:
      return "fletcher32";
    case 4:
      return "szip";
    case 5:
      return "nbit";
    case 6:
      return "scaleoffset";
    case 32000:
      return "lzf";
    case 32004:
      return "lz4";
    case 32015:
      return "zstd";
    default:
      return StrCat("filter ", step.id);
  }
}

const char* LayoutName(const Hdf5Array& array) {
  if (array.null) return "null";
  switch (array.layout) {
    case ArrayLayout::kContiguous:
      return "contiguous";
    case ArrayLayout::kCompact:
      return "compact";
    case ArrayLayout::kChunked:
      return "chunked";
    default:
      return "virtual";
  }
}

std::string HowRead(const Hdf5Array& array) {
  if (array.direct()) return "by offset";
  if (array.type.kind == Kind::kOther) return StrCat("not: ", array.indirect);
  return StrCat("by the HDF5 library: ", array.indirect);
}

template <typename T>
void AddRange(const std::vector<unsigned char>& bytes, json& out) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  out["min"] = *least;
  out["max"] = *greatest;
}

void AddNumbers(const ElementType& type, const std::vector<unsigned char>& bytes, json& out) {
  if (bytes.empty()) return;
  const auto pick = [&](auto one, auto two, auto four, auto eight) {
    if (type.bytes == 1) AddRange<decltype(one)>(bytes, out);
    if (type.bytes == 2) AddRange<decltype(two)>(bytes, out);
    if (type.bytes == 4) AddRange<decltype(four)>(bytes, out);
    if (type.bytes == 8) AddRange<decltype(eight)>(bytes, out);
  };
  if (type.kind == Kind::kUnsigned)
    pick(std::uint8_t{}, std::uint16_t{}, std::uint32_t{}, std::uint64_t{});
  if (type.kind == Kind::kSigned)
    pick(std::int8_t{}, std::int16_t{}, std::int32_t{}, std::int64_t{});
  if (type.kind == Kind::kFloat && type.bytes == 4) AddRange<float>(bytes, out);
  if (type.kind == Kind::kFloat && type.bytes == 8) AddRange<double>(bytes, out);
}

// JSON holds UTF-8 only.
std::string Printable(std::string text) {
  text.resize(std::min(text.size(), kShownBytes));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '?';
  return text;
}

void AddValues(const ArrayFile& file, const Hdf5Array& array, json& out) {
  if (array.type.kind == Kind::kText || array.type.name.starts_with("string")) {
    const std::vector<std::string> texts = file.ReadStrings(array);
    out["strings"] = texts.size();
    out["first"] = json::array();
    for (std::size_t i = 0; i < std::min(texts.size(), kShownStrings); ++i)
      out["first"].push_back(Printable(texts[i]));
  }
  if (array.type.kind == Kind::kText) return;
  const std::vector<unsigned char> bytes = file.ReadAll(array);
  out["sha256"] = Sha256Hex(std::string(bytes.begin(), bytes.end()));
  AddNumbers(array.type, bytes, out);
}

json DescribeArray(const ArrayFile& file, const Hdf5Array& array, bool values) {
  json out{{"name", array.path}, {"type", array.type.name}};
  out["shape"] = array.null ? json() : json(array.shape);
  out["layout"] = LayoutName(array);
  if (array.layout == ArrayLayout::kChunked && !array.null) {
    std::uint64_t stored = 0;
    for (const ChunkPlace& chunk : array.chunks)
      stored += chunk.offset != ChunkPlace::kNowhere ? chunk.bytes : 0;
    out["chunk"] = array.chunk;
    out["filters"] = json::array();
    for (const FilterStep& step : array.filters) out["filters"].push_back(FilterName(step));
    if (array.direct()) out["stored_bytes"] = stored;
  }
  out["read"] = HowRead(array);
  if (!values || array.null || array.type.kind == Kind::kOther) return out;
  try {
    AddValues(file, array, out);
  } catch (const Error& error) {
    out["read"] = StrCat("not: ", error.what());
  }
  return out;
}

}  // namespace

bool IsForeignHdf5(const std::string& path) {
  if (!IsHdf5(path)) return false;
  try {
    const ArrayFile file(path, KeepIndex::kCache);
    const auto format = file.attributes().find(shard::kFormat);
    return format == file.attributes().end() || format->second != kShardFormat;
  } catch (const Error&) {
    return false;  // damaged: whoever opens it as a shard tells
  }
}

json DescribeHdf5(const std::string& path, bool values) {
  const ArrayFile file(path, KeepIndex::kCache);
  json datasets = json::array();
  for (const Hdf5Array& array : file.arrays())
    datasets.push_back(DescribeArray(file, array, values));
  return {{"kind", "hdf5"},
          {"path", path},
          {"bytes", file.file().size()},
          {"attributes", file.attributes()},
          {"data_sets", std::move(datasets)}};
}

}  // namespace vesalius::data
