#include "checkpoints/boxes.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/strings.h"

namespace vesalius::checkpoints {

std::size_t ItemSize(const std::string& dtype) {
  static const std::map<std::string, std::size_t> kSizes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1},
      {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
      {"U32", 4},  {"F32", 4}, {"I64", 8}, {"U64", 8},     {"F64", 8}};
  const auto found = kSizes.find(dtype);
  return found == kSizes.end() ? 0 : found->second;
}

std::int64_t Volume(const std::vector<std::int64_t>& shape) {
  std::int64_t volume = 1;
  for (const std::int64_t size : shape) volume *= size;
  return volume;
}

bool TensorBytes(const std::vector<std::int64_t>& shape, std::size_t item, std::uint64_t* bytes) {
  std::int64_t product = static_cast<std::int64_t>(item);
  bool overflow = false, empty = false;
  for (const std::int64_t size : shape) {
    if (size < 0) return false;
    empty = empty || size == 0;
    overflow =
        overflow || __builtin_mul_overflow(product, std::max<std::int64_t>(size, 1), &product);
  }
  *bytes = empty ? 0 : static_cast<std::uint64_t>(product);
  return !overflow;
}

Box Whole(const std::vector<std::int64_t>& shape) {
  return {std::vector<std::int64_t>(shape.size(), 0), shape};
}

bool Inside(const Box& box, const std::vector<std::int64_t>& shape) {
  if (box.offset.size() != shape.size() || box.extent.size() != shape.size()) return false;
  for (std::size_t d = 0; d < shape.size(); ++d)
    if (box.offset[d] < 0 || box.extent[d] < 0 || box.offset[d] > shape[d] ||
        box.extent[d] > shape[d] - box.offset[d])
      return false;
  return true;
}

bool Intersect(const Box& a, const Box& b, Box* common) {
  Box result;
  for (std::size_t d = 0; d < a.offset.size(); ++d) {
    const std::int64_t begin = std::max(a.offset[d], b.offset[d]);
    const std::int64_t end = std::min(a.offset[d] + a.extent[d], b.offset[d] + b.extent[d]);
    if (begin >= end) return false;
    result.offset.push_back(begin);
    result.extent.push_back(end - begin);
  }
  *common = std::move(result);
  return true;
}

std::vector<Box> Split(const Box& box, std::size_t item, std::size_t limit) {
  std::vector<Box> parts;
  if (Volume(box.extent) == 0) return parts;
  const std::size_t rank = box.extent.size();
  // `cut` is the outermost dimension of which several rows fit in one part; those outside it are
  // walked index by index.
  std::size_t cut = rank, row = item;
  while (cut > 0 && row * static_cast<std::size_t>(box.extent[cut - 1]) <= limit)
    row *= static_cast<std::size_t>(box.extent[--cut]);
  if (cut == 0) return {box};
  --cut;
  const auto rows = std::max<std::int64_t>(1, static_cast<std::int64_t>(limit / row));
  std::vector<std::int64_t> index(cut, 0);
  while (true) {
    for (std::int64_t begin = 0; begin < box.extent[cut]; begin += rows) {
      Box part = box;
      for (std::size_t d = 0; d < cut; ++d) {
        part.offset[d] += index[d];
        part.extent[d] = 1;
      }
      part.offset[cut] += begin;
      part.extent[cut] = std::min(rows, box.extent[cut] - begin);
      parts.push_back(std::move(part));
    }
    std::size_t d = cut;
    while (d > 0 && ++index[d - 1] == box.extent[d - 1]) index[--d] = 0;
    if (d == 0) return parts;
  }
}

std::size_t FlatBoxLimit(std::size_t dimensions) {
  return dimensions == 0 ? 1 : 2 * dimensions - 1;
}

std::vector<Box> FlatBoxes(const std::vector<std::int64_t>& shape, std::int64_t begin,
                           std::int64_t end) {
  std::vector<Box> boxes;
  while (begin < end) {
    // The largest box that starts at `begin`: rows of one dimension, whole in those inside it.
    std::int64_t row = 1;
    std::size_t cut = shape.size();
    while (cut > 0 && begin % (row * shape[cut - 1]) == 0 && begin + row * shape[cut - 1] <= end)
      row *= shape[--cut];
    Box box = Whole(shape);
    std::int64_t outer = begin / row, rows = 1;
    for (std::size_t d = cut; d-- > 0;) {
      box.offset[d] = outer % shape[d];
      box.extent[d] = 1;
      if (d + 1 == cut) {
        rows = std::min(shape[d] - box.offset[d], (end - begin) / row);
        box.extent[d] = rows;
      }
      outer /= shape[d];
    }
    boxes.push_back(std::move(box));
    begin += rows * row;
  }
  return boxes;
}

namespace {

// Element number of `at` (tensor coordinates) in the row-major memory of `box`.
std::int64_t Locate(const Box& box, const std::vector<std::int64_t>& at) {
  std::int64_t number = 0;
  for (std::size_t d = 0; d < at.size(); ++d)
    number = number * box.extent[d] + at[d] - box.offset[d];
  return number;
}

}  // namespace

void CopyBox(const Box& common, const Box& from, const void* source, const Box& to, void* target,
             std::size_t item) {
  // Inner dimensions that both memories hold whole and alike form one run of bytes.
  std::size_t inner = common.extent.size();
  std::int64_t run = 1;
  while (inner > 0) {
    --inner;
    run *= common.extent[inner];
    if (common.extent[inner] != from.extent[inner] || common.extent[inner] != to.extent[inner])
      break;
  }
  const auto* in = static_cast<const char*>(source);
  auto* out = static_cast<char*>(target);
  std::vector<std::int64_t> at = common.offset;
  while (true) {
    std::memcpy(out + Locate(to, at) * static_cast<std::int64_t>(item),
                in + Locate(from, at) * static_cast<std::int64_t>(item),
                static_cast<std::size_t>(run) * item);
    std::size_t d = inner;
    while (d > 0 && ++at[d - 1] == common.offset[d - 1] + common.extent[d - 1]) {
      at[d - 1] = common.offset[d - 1];
      --d;
    }
    if (d == 0) return;
  }
}

std::pair<std::uint64_t, std::uint64_t> Span(const Box& box, const Box& part) {
  std::vector<std::int64_t> last = part.offset;
  for (std::size_t d = 0; d < last.size(); ++d) last[d] += part.extent[d] - 1;
  return {static_cast<std::uint64_t>(Locate(box, part.offset)),
          static_cast<std::uint64_t>(Locate(box, last))};
}

std::string ToString(const Box& box) {
  std::vector<std::string> ranges;
  for (std::size_t d = 0; d < box.offset.size(); ++d) {
    std::int64_t end = 0;  // of a damaged box it may not be representable
    const bool known = !__builtin_add_overflow(box.offset[d], box.extent[d], &end);
    ranges.push_back(StrCat(box.offset[d], ":", known ? std::to_string(end) : "?"));
  }
  return StrCat("[", Join(ranges, ", "), "]");
}

}  // namespace vesalius::checkpoints
