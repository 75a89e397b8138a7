#include "data/hdf5/array.h"

#include <algorithm>

#include "base/strings.h"

namespace vesalius::data {
namespace {

constexpr std::uint64_t kNoProduct = ~std::uint64_t{0};
constexpr std::size_t kMaxRank = 32;  // HDF5's own

// `factor` times the product of `dims`, or kNoProduct when it is beyond 2^48.
std::uint64_t Product(std::uint64_t factor, const std::vector<std::uint64_t>& dims) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 48;
  if (std::count(dims.begin(), dims.end(), 0) > 0) return 0;
  for (const std::uint64_t dim : dims) {
    if (dim > kMost / factor) return kNoProduct;
    factor *= dim;
  }
  return factor;
}

bool Inside(std::uint64_t offset, std::uint64_t bytes, std::uint64_t file_bytes) {
  return offset == ChunkPlace::kNowhere || (offset <= file_bytes && bytes <= file_bytes - offset);
}

bool GoodChunks(const Hdf5Array& array, std::uint64_t file_bytes) {
  if (array.chunk.size() != array.shape.size() || array.filters.size() > 32) return false;
  const std::uint64_t chunk_bytes = Product(array.type.bytes, array.chunk);
  if (chunk_bytes == 0 || chunk_bytes > UINT32_MAX) return false;
  const std::uint64_t grid = Product(1, ChunkGrid(array));
  return array.chunks.size() == grid &&
         std::all_of(array.chunks.begin(), array.chunks.end(), [&](const ChunkPlace& chunk) {
           return chunk.bytes <= UINT32_MAX && Inside(chunk.offset, chunk.bytes, file_bytes);
         });
}

bool GoodType(const ElementType& type) {
  if (type.bytes == 0 || type.bytes > INT32_MAX || type.kind > ElementType::Kind::kOther)
    return false;
  const bool number = type.kind < ElementType::Kind::kBytes;
  return !number || type.bytes == 1 || type.bytes == 2 || type.bytes == 4 || type.bytes == 8;
}

bool Good(const Hdf5Array& array, std::uint64_t file_bytes) {
  if (!GoodType(array.type) || array.shape.size() > kMaxRank) return false;
  const std::uint64_t bytes = Product(array.type.bytes, array.shape);
  if (bytes == kNoProduct) return !array.direct();
  if (!array.direct()) return true;
  if (array.fill.size() != array.type.bytes) return false;
  switch (array.layout) {
    case ArrayLayout::kContiguous:
      return Inside(array.offset, bytes, file_bytes);
    case ArrayLayout::kCompact:
      return array.compact.size() == bytes;
    case ArrayLayout::kChunked:
      return GoodChunks(array, file_bytes);
    default:
      return false;
  }
}

}  // namespace

std::vector<std::uint64_t> ChunkGrid(const Hdf5Array& array) {
  std::vector<std::uint64_t> grid(array.shape.size());
  for (std::size_t d = 0; d < grid.size(); ++d)
    grid[d] = array.chunk[d] == 0
                  ? 0
                  : array.shape[d] / array.chunk[d] + (array.shape[d] % array.chunk[d] != 0);
  return grid;
}

std::string Inconsistency(const Hdf5Contents& contents, std::uint64_t file_bytes) {
  for (const ByteRange& range : contents.headers)
    if (!Inside(range.offset, range.bytes, file_bytes)) return "a header beyond the file's end";
  for (const Hdf5Array& array : contents.arrays)
    if (!Good(array, file_bytes))
      return StrCat("data set ", array.path,
                    " contradicts itself or reaches beyond the file's end");
  return "";
}

}  // namespace vesalius::data
