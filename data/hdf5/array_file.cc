#include "data/hdf5/array_file.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "base/hash.h"
#include "data/hdf5/filters.h"
#include "data/hdf5/index.h"
#include "data/hdf5/survey.h"

namespace vesalius::data {
namespace {

constexpr std::uint64_t kGap = 64 << 10;  // read over rather than twice

using Index = std::vector<std::uint64_t>;

template <typename... Parts>
void Valid(bool ok, const RandomFile& file, const Hdf5Array& array, const Parts&... parts) {
  Require(ok, ExitCode::kInvalidData, file.path(), ", data set ", array.path, ": ", parts...);
}

// Calls visit(index) for each index in [first, last], C order.
template <typename Visit>
void ForGrid(const Index& first, const Index& last, const Visit& visit) {
  Index at = first;
  while (true) {
    visit(at);
    std::size_t d = at.size();
    while (d > 0 && at[d - 1] == last[d - 1]) {
      --d;
      at[d] = first[d];
    }
    if (d == 0) return;
    ++at[d - 1];
  }
}

std::uint64_t Flat(const Index& at, const Index& shape) {
  std::uint64_t index = 0;
  for (std::size_t d = 0; d < shape.size(); ++d) index = index * shape[d] + at[d];
  return index;
}

// Copies the box [begin, end) between two arrays in C order: `from` covers the coordinates from
// from_origin on with from_shape, `to` likewise.
struct Placed {
  const Index& origin;
  const Index& shape;
};
void CopyBox(const unsigned char* from, const Placed& in, unsigned char* to, const Placed& out,
             const Index& begin, const Index& end, std::size_t element) {
  const std::size_t rank = begin.size();
  if (rank == 0) {
    std::memcpy(to, from, element);
    return;
  }
  // As many trailing dimensions as both have whole make one run.
  std::size_t run = rank - 1;
  std::uint64_t run_bytes = (end[run] - begin[run]) * element;
  while (run > 0 && end[run] - begin[run] == in.shape[run] &&
         end[run] - begin[run] == out.shape[run]) {
    --run;
    run_bytes *= end[run] - begin[run];
  }
  // The dimension before the runs is walked by strides, those before it one by one.
  const std::size_t walked = run == 0 ? 0 : run - 1;
  std::uint64_t rows = 1, in_stride = 0, out_stride = 0;
  if (run > 0) {
    rows = end[walked] - begin[walked];
    in_stride = out_stride = element;
    for (std::size_t d = run; d < rank; ++d) {
      in_stride *= in.shape[d];
      out_stride *= out.shape[d];
    }
  }
  Index first = begin, last = begin;
  for (std::size_t d = 0; d < walked; ++d) last[d] = end[d] - 1;
  Index a(rank), b(rank);
  ForGrid(first, last, [&](const Index& at) {
    for (std::size_t d = 0; d < rank; ++d) {
      a[d] = at[d] - in.origin[d];
      b[d] = at[d] - out.origin[d];
    }
    const unsigned char* source = from + Flat(a, in.shape) * element;
    unsigned char* target = to + Flat(b, out.shape) * element;
    for (std::uint64_t row = 0; row < rows; ++row)
      std::memcpy(target + row * out_stride, source + row * in_stride, run_bytes);
  });
}

void ToNative(const ElementType& type, unsigned char* values, std::uint64_t count) {
  if (!type.big_endian || type.bytes == 1 || type.kind == ElementType::Kind::kBytes) return;
  for (std::uint64_t i = 0; i < count; ++i)
    std::reverse(values + i * type.bytes, values + (i + 1) * type.bytes);
}

std::uint64_t Product(Extents dims) {
  std::uint64_t n = 1;
  for (const std::uint64_t dim : dims) n *= dim;
  return n;
}

// Whether the chunk at `origin` reaches over the edge of the data set.
bool ReachesOver(const Hdf5Array& array, const Index& origin) {
  for (std::size_t d = 0; d < origin.size(); ++d)
    if (array.chunk[d] > array.shape[d] - origin[d]) return true;
  return false;
}

// The chunks that a box touches: body(index in array.chunks, coordinates in the grid).
template <typename Body>
void ForChunks(const Hdf5Array& array, Extents start, Extents count, const Body& body) {
  const std::size_t rank = array.shape.size();
  const Index grid = ChunkGrid(array);
  Index first(rank), last(rank);
  for (std::size_t d = 0; d < rank; ++d) {
    first[d] = start[d] / array.chunk[d];
    last[d] = (start[d] + count[d] - 1) / array.chunk[d];
  }
  ForGrid(first, last, [&](const Index& at) { body(Flat(at, grid), at); });
}

}  // namespace

// ---- read ahead --------------------------------------------------------------------------------

Prefetched::Prefetched(const RandomFile& file, std::vector<ByteRange> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const ByteRange& a, const ByteRange& b) { return a.offset < b.offset; });
  for (std::size_t i = 0; i < ranges.size();) {
    const std::uint64_t begin = ranges[i].offset;
    std::uint64_t end = begin;
    for (; i < ranges.size() && ranges[i].offset <= end + kGap; ++i)
      end = std::max(end, ranges[i].offset + ranges[i].bytes);
    Piece piece{begin, end - begin,
                std::unique_ptr<unsigned char[]>(new unsigned char[end - begin])};
    try {
      file.Read(begin, piece.bytes.get(), piece.size);
      pieces_.push_back(std::move(piece));
    } catch (const Error&) {
      continue;
    }
  }
}

std::span<const unsigned char> Prefetched::Find(const ByteRange& range) const {
  auto piece =
      std::upper_bound(pieces_.begin(), pieces_.end(), range.offset,
                       [](std::uint64_t offset, const Piece& p) { return offset < p.offset; });
  if (piece == pieces_.begin()) return {};
  --piece;
  const std::uint64_t skip = range.offset - piece->offset;
  if (skip > piece->size || range.bytes > piece->size - skip) return {};
  return std::span<const unsigned char>(piece->bytes.get() + skip, range.bytes);
}

// ---- by the library ----------------------------------------------------------------------------

// The file as the library sees it, opened when first needed.
struct ArrayFile::Library {
  explicit Library(std::string name) : path(std::move(name)) {}

  bool Read(const Hdf5Array& array, Extents start, Extents count, void* out) {
    const Hdf5Session session;
    if (!file.ok()) file = OpenHdf5(path);
    const Hdf5Handle dataset(H5Dopen2(file.get(), array.path.c_str(), H5P_DEFAULT), H5Dclose);
    if (!dataset.ok()) return false;
    const std::vector<hsize_t> first(start.begin(), start.end()),
        extent(count.begin(), count.end());
    const Hdf5Handle space(H5Dget_space(dataset.get()), H5Sclose);
    const Hdf5Handle memory(
        extent.empty() ? H5Screate(H5S_SCALAR)
                       : H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr),
        H5Sclose);
    if (!extent.empty() && H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, first.data(), nullptr,
                                               extent.data(), nullptr) < 0)
      return false;
    const Hdf5Handle stored(H5Dget_type(dataset.get()), H5Tclose);
    // Bytes, and half floats, which this library has no native type for, as they are stored.
    const bool plain = array.type.kind == ElementType::Kind::kBytes ||
                       (array.type.kind == ElementType::Kind::kFloat && array.type.bytes == 2);
    const hid_t type = plain ? stored.get() : NativeType(array.type);
    if (H5Dread(dataset.get(), type, memory.get(), space.get(), H5P_DEFAULT, out) < 0) return false;
    if (plain) ToNative(array.type, static_cast<unsigned char*>(out), Product(count));
    return true;
  }

  bool ReadTexts(const Hdf5Array& array, std::vector<std::string>& texts) {
    const Hdf5Session session;
    if (!file.ok()) file = OpenHdf5(path);
    const Hdf5Handle dataset(H5Dopen2(file.get(), array.path.c_str(), H5P_DEFAULT), H5Dclose);
    const Hdf5Handle type(H5Dget_type(dataset.get()), H5Tclose);
    const Hdf5Handle space(H5Dget_space(dataset.get()), H5Sclose);
    std::vector<char*> pointers(array.elements(), nullptr);
    if (H5Tis_variable_str(type.get()) <= 0 ||
        H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()) < 0)
      return false;
    for (const char* text : pointers) texts.emplace_back(text == nullptr ? "" : text);
    H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, pointers.data());
    return true;
  }

  std::string path;
  Hdf5Handle file;
};

// ---- the file ----------------------------------------------------------------------------------

ArrayFile::ArrayFile(const std::string& path, KeepIndex keep)
    : file_(path), contents_(ReadIndex(file_, keep)), library_(std::make_unique<Library>(path)) {}
ArrayFile::ArrayFile(const std::string& path, Hdf5Contents contents)
    : file_(path), contents_(std::move(contents)), library_(std::make_unique<Library>(path)) {
  const std::string wrong = Inconsistency(contents_, file_.size());
  Require(wrong.empty(), ExitCode::kInvalidData, path, ": ", wrong);
}
ArrayFile::~ArrayFile() = default;

const Hdf5Array* ArrayFile::Find(const std::string& path) const {
  const auto found = std::find_if(arrays().begin(), arrays().end(),
                                  [&](const Hdf5Array& array) { return array.path == path; });
  return found == arrays().end() ? nullptr : &*found;
}

std::vector<ByteRange> ArrayFile::Places(const Hdf5Array& array, Extents start,
                                         Extents count) const {
  std::vector<ByteRange> places;
  if (!array.direct() || Product(count) == 0) return places;
  if (array.layout == ArrayLayout::kContiguous && array.offset != ChunkPlace::kNowhere) {
    // From the first to the last element of the box.
    Index first(start.begin(), start.end()), last = first;
    for (std::size_t d = 0; d < last.size(); ++d) last[d] += count[d] - 1;
    const std::uint64_t begin = Flat(first, array.shape), end = Flat(last, array.shape) + 1;
    places.push_back({array.offset + begin * array.type.bytes, (end - begin) * array.type.bytes});
  } else if (array.layout == ArrayLayout::kChunked) {
    ForChunks(array, start, count, [&](std::uint64_t index, const Index&) {
      const ChunkPlace& chunk = array.chunks[index];
      if (chunk.offset != ChunkPlace::kNowhere) places.push_back({chunk.offset, chunk.bytes});
    });
  }
  return places;
}

std::span<const unsigned char> ArrayFile::Stored(const ByteRange& range, const Prefetched* ahead,
                                                 std::vector<unsigned char>& scratch) const {
  if (ahead != nullptr) {
    const auto found = ahead->Find(range);
    if (!found.empty()) return found;
  }
  scratch.resize(range.bytes);
  file_.Read(range.offset, scratch.data(), range.bytes);
  return scratch;
}

void ArrayFile::ReadChunks(const Hdf5Array& array, Extents start, Extents count, unsigned char* out,
                           const Prefetched* ahead) const {
  thread_local std::vector<unsigned char> stored, decoded;
  thread_local FilterScratch scratch;
  const std::size_t rank = array.shape.size();
  const Index box_origin(start.begin(), start.end()), box_shape(count.begin(), count.end());
  const bool whole = std::equal(count.begin(), count.end(), array.chunk.begin());
  ForChunks(array, start, count, [&](std::uint64_t index, const Index& at) {
    Index origin(rank), begin(rank), end(rank);
    bool exact = whole;
    for (std::size_t d = 0; d < rank; ++d) {
      origin[d] = at[d] * array.chunk[d];
      begin[d] = std::max(origin[d], box_origin[d]);
      end[d] = std::min(origin[d] + array.chunk[d], box_origin[d] + box_shape[d]);
      exact = exact && origin[d] == box_origin[d];
    }
    const ChunkPlace& chunk = array.chunks[index];
    unsigned char* to = out;  // a box that is a chunk is decoded in its place
    if (!exact) {
      decoded.resize(array.chunk_bytes());
      to = decoded.data();
    }
    if (chunk.offset == ChunkPlace::kNowhere) {
      for (std::uint64_t i = 0; i < array.chunk_bytes(); i += array.type.bytes)
        std::memcpy(to + i, array.fill.data(), array.type.bytes);
    } else if (exact && array.filters.empty() && chunk.bytes == array.chunk_bytes() &&
               (ahead == nullptr || ahead->Find({chunk.offset, chunk.bytes}).empty())) {
      file_.Read(chunk.offset, out, chunk.bytes);
    } else {
      const auto bytes = Stored({chunk.offset, chunk.bytes}, ahead, stored);
      if (array.filters.empty() && !exact && bytes.size() == array.chunk_bytes()) {
        CopyBox(bytes.data(), {origin, array.chunk}, out, {box_origin, box_shape}, begin, end,
                array.type.bytes);
        return;
      }
      try {
        const bool plain = array.plain_edges && ReachesOver(array, origin);
        DecodeChunk(array, bytes, plain ? ~std::uint32_t{0} : chunk.skipped, to, scratch);
      } catch (const Error& error) {
        Valid(false, file_, array, "chunk ", index, ": ", error.what());
      }
    }
    if (!exact)
      CopyBox(to, {origin, array.chunk}, out, {box_origin, box_shape}, begin, end,
              array.type.bytes);
  });
}

void ArrayFile::Read(const Hdf5Array& array, Extents start, Extents count, void* out,
                     const Prefetched* ahead) const {
  Invariant(start.size() == array.shape.size() && count.size() == array.shape.size(), array.path,
            " has ", array.shape.size(), " dimensions");
  for (std::size_t d = 0; d < start.size(); ++d)
    Invariant(start[d] <= array.shape[d] && count[d] <= array.shape[d] - start[d], array.path,
              ": box beyond dimension ", d);
  Valid(array.type.kind <= ElementType::Kind::kBytes, file_, array,
        array.indirect.empty() ? "its elements cannot be read as values" : array.indirect);
  const std::uint64_t elements = Product(count);
  if (elements == 0) return;
  auto* bytes = static_cast<unsigned char*>(out);
  if (!array.direct()) {
    Valid(library_->Read(array, start, count, out), file_, array,
          "the HDF5 library cannot read it (", array.indirect, ")");
    return;
  }
  const Index box(start.begin(), start.end()), extent(count.begin(), count.end());
  const Index zero(box.size(), 0);
  Index end = box;
  for (std::size_t d = 0; d < end.size(); ++d) end[d] += extent[d];
  if (array.layout == ArrayLayout::kChunked) {
    ReadChunks(array, start, count, bytes, ahead);
  } else if (array.layout == ArrayLayout::kCompact) {
    CopyBox(reinterpret_cast<const unsigned char*>(array.compact.data()), {zero, array.shape},
            bytes, {box, extent}, box, end, array.type.bytes);
  } else if (array.offset == ChunkPlace::kNowhere) {
    for (std::uint64_t i = 0; i < elements; ++i)
      std::memcpy(bytes + i * array.type.bytes, array.fill.data(), array.type.bytes);
  } else {
    // What lies between the first and the last element of the box; gaps are read over.
    thread_local std::vector<unsigned char> stored;
    const ByteRange range = Places(array, start, count).front();
    if (range.bytes == elements * array.type.bytes &&
        (ahead == nullptr || ahead->Find(range).empty())) {
      file_.Read(range.offset, out, range.bytes);
    } else {
      const auto run = Stored(range, ahead, stored);
      const std::uint64_t skip = Flat(box, array.shape) * array.type.bytes;
      CopyBox(run.data() - skip, {zero, array.shape}, bytes, {box, extent}, box, end,
              array.type.bytes);
    }
  }
  ToNative(array.type, bytes, elements);
}

std::vector<unsigned char> ArrayFile::ReadAll(const Hdf5Array& array) const {
  std::vector<unsigned char> values(array.bytes());
  Read(array, Index(array.shape.size(), 0), array.shape, values.data());
  return values;
}

std::vector<std::string> ArrayFile::ReadStrings(const Hdf5Array& array) const {
  std::vector<std::string> texts;
  if (array.elements() == 0) return texts;
  if (array.type.kind == ElementType::Kind::kText) {
    Valid(library_->ReadTexts(array, texts), file_, array, "its strings cannot be read");
    return texts;
  }
  const std::vector<unsigned char> bytes = ReadAll(array);
  const std::size_t width = array.type.bytes;
  for (std::size_t at = 0; at < bytes.size(); at += width) {
    std::string text(reinterpret_cast<const char*>(bytes.data()) + at, width);
    text.resize(text.find_last_not_of('\0') + 1);
    texts.push_back(std::move(text));
  }
  return texts;
}

std::uint64_t ArrayFile::chunks() const {
  std::uint64_t sum = 0;
  for (const Hdf5Array& array : arrays())
    if (array.direct()) sum += array.chunks.size();
  return sum;
}

std::int64_t ArrayFile::Audit(std::uint64_t count, std::uint64_t seed) const {
  const std::uint64_t all = chunks();
  std::int64_t compared = 0;
  for (std::uint64_t pick = 0; all > 0 && pick < count; ++pick) {
    std::uint64_t index = Mix64(seed + pick) % all;
    const Hdf5Array* array = arrays().data();
    for (; !array->direct() || index >= array->chunks.size(); ++array)
      if (array->direct()) index -= array->chunks.size();
    compared += AuditChunk(*array, index);
  }
  return compared;
}

bool ArrayFile::AuditChunk(const Hdf5Array& array, std::uint64_t index) const {
  const Index grid = ChunkGrid(array);
  Index start(grid.size()), count(grid.size());
  std::uint64_t rest = index;
  for (std::size_t d = grid.size(); d-- > 0; rest /= grid[d]) {
    start[d] = rest % grid[d] * array.chunk[d];
    count[d] = std::min(array.chunk[d], array.shape[d] - start[d]);
  }
  std::vector<unsigned char> ours(Product(count) * array.type.bytes), theirs(ours.size());
  if (!library_->Read(array, start, count, theirs.data())) return false;
  try {
    Read(array, start, count, ours.data());
  } catch (const Error&) {
    return false;
  }
  Valid(ours == theirs, file_, array, "chunk ", index,
        " reads otherwise than by the HDF5 library; remove ", IndexPaths(file_.path()).front(),
        " if it is there, and tell the authors of Vesalius if that does not help");
  return true;
}

}  // namespace vesalius::data
