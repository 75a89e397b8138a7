#include "data/hdf5/survey.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/error.h"
#include "data/hdf5/chunk_table.h"
#include "data/hdf5/filters.h"
#include "data/hdf5/random_file.h"

namespace vesalius::data {
namespace {

// Enumerating chunks by number takes the library time with the square of their number.
constexpr hsize_t kMaxEnumerated = 20000;

std::string NameOf(H5T_class_t type) {
  switch (type) {
    case H5T_STRING:
      return "string";
    case H5T_COMPOUND:
      return "compound";
    case H5T_VLEN:
      return "variable-length";
    case H5T_ARRAY:
      return "array";
    case H5T_REFERENCE:
      return "reference";
    case H5T_OPAQUE:
      return "opaque";
    case H5T_BITFIELD:
      return "bit field";
    case H5T_ENUM:
      return "enumeration";
    case H5T_TIME:
      return "time";
    default:
      return "unusual number";
  }
}

// Only numbers that memory can hold as they are: whole bytes, no padding, IEEE floats.
ElementType TypeOf(hid_t stored) {
  ElementType type;
  type.bytes = static_cast<std::uint32_t>(H5Tget_size(stored));
  const H5T_class_t kind = H5Tget_class(stored);
  type.name = NameOf(kind);
  Hdf5Handle base;
  if (kind == H5T_ENUM) base = Hdf5Handle(H5Tget_super(stored), H5Tclose);
  const hid_t number = base.ok() ? base.get() : stored;
  type.big_endian = H5Tget_order(number) == H5T_ORDER_BE;
  const auto is = [&](hid_t little, hid_t big) {
    return H5Tequal(number, little) > 0 || H5Tequal(number, big) > 0;
  };
  const bool whole = is(H5T_STD_U8LE, H5T_STD_U8BE) || is(H5T_STD_U16LE, H5T_STD_U16BE) ||
                     is(H5T_STD_U32LE, H5T_STD_U32BE) || is(H5T_STD_U64LE, H5T_STD_U64BE);
  const bool negative = is(H5T_STD_I8LE, H5T_STD_I8BE) || is(H5T_STD_I16LE, H5T_STD_I16BE) ||
                        is(H5T_STD_I32LE, H5T_STD_I32BE) || is(H5T_STD_I64LE, H5T_STD_I64BE);
  const bool real = is(H5T_IEEE_F32LE, H5T_IEEE_F32BE) || is(H5T_IEEE_F64LE, H5T_IEEE_F64BE);
  if (!whole && !negative && !real) return type;
  type.kind = whole      ? ElementType::Kind::kUnsigned
              : negative ? ElementType::Kind::kSigned
                         : ElementType::Kind::kFloat;
  type.name = StrCat(type.big_endian && type.bytes > 1 ? "big-endian " : "",
                     whole      ? "uint"
                     : negative ? "int"
                                : "float",
                     8 * type.bytes, kind == H5T_ENUM ? " (enumeration)" : "");
  return type;
}

void ReadShape(hid_t dataset, Hdf5Array& array) {
  const Hdf5Handle space(H5Dget_space(dataset), H5Sclose);
  const H5S_class_t kind = space.ok() ? H5Sget_simple_extent_type(space.get()) : H5S_NO_CLASS;
  if (kind == H5S_NULL) array.shape = {0};
  if (kind != H5S_SIMPLE) return;
  std::vector<hsize_t> dims(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space.get())));
  H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr);
  array.shape.assign(dims.begin(), dims.end());
}

void ReadFilters(hid_t creation, Hdf5Array& array) {
  const int count = H5Pget_nfilters(creation);
  for (int i = 0; i < count; ++i) {
    FilterStep step;
    unsigned flags = 0, values[32];
    std::size_t n = std::size(values);
    step.id =
        H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &n, values, 0, nullptr, nullptr);
    step.values.assign(values, values + std::min(n, std::size(values)));
    array.filters.push_back(std::move(step));
  }
}

// By the library, one after another.
std::vector<ChunkPlace> EnumerateChunks(hid_t dataset, const Hdf5Array& array) {
  const std::vector<std::uint64_t> grid = ChunkGrid(array);
  std::uint64_t n = 1;
  for (const std::uint64_t dim : grid) n *= dim;
  std::vector<ChunkPlace> places(n);
  hsize_t count = 0;
  const Hdf5Handle space(H5Dget_space(dataset), H5Sclose);
  if (H5Dget_num_chunks(dataset, space.get(), &count) < 0 || count > kMaxEnumerated) return {};
  std::vector<hsize_t> at(grid.size());
  for (hsize_t i = 0; i < count; ++i) {
    haddr_t offset = HADDR_UNDEF;
    hsize_t bytes = 0;
    unsigned skipped = 0;
    if (H5Dget_chunk_info(dataset, space.get(), i, at.data(), &skipped, &offset, &bytes) < 0)
      return {};
    std::uint64_t index = 0;
    for (std::size_t d = 0; d < grid.size(); ++d) index = index * grid[d] + at[d] / array.chunk[d];
    if (index < n && offset != HADDR_UNDEF) places[index] = {offset, bytes, skipped};
  }
  return places;
}

class Surveyor {
 public:
  explicit Surveyor(const std::string& path) : bytes_(path), file_(OpenHdf5(path)) {
    const Hdf5Handle creation(H5Fget_create_plist(file_.get()), H5Pclose);
    hsize_t block = 0;
    if (H5Pget_userblock(creation.get(), &block) >= 0) base_ = block;
    std::size_t address = 0, length = 0;
    wide_ = H5Pget_sizes(creation.get(), &address, &length) >= 0 && address == 8 && length == 8;
  }

  std::vector<Hdf5Array> All() {
    H5Lvisit(
        file_.get(), H5_INDEX_NAME, H5_ITER_NATIVE,
        [](hid_t, const char* name, const H5L_info_t*, void* self) -> herr_t {
          static_cast<Surveyor*>(self)->names_.insert(StrCat("/", name));
          return 0;
        },
        this);
    std::vector<Hdf5Array> arrays;
    for (const std::string& name : names_) {
      const Hdf5Handle object(H5Oopen(file_.get(), name.c_str(), H5P_DEFAULT), H5Oclose);
      if (object.ok() && H5Iget_type(object.get()) == H5I_DATASET)
        arrays.push_back(Describe(object.get(), name));
    }
    return arrays;
  }

 private:
  Hdf5Array Describe(hid_t dataset, const std::string& name) {
    Hdf5Array array;
    array.path = name;
    H5O_info_t info;
    if (H5Oget_info2(dataset, &info, H5O_INFO_BASIC) >= 0) array.header = base_ + info.addr;
    const Hdf5Handle type(H5Dget_type(dataset), H5Tclose);
    const Hdf5Handle creation(H5Dget_create_plist(dataset), H5Pclose);
    Require(type.ok() && creation.ok(), ExitCode::kInvalidData, bytes_.path(), ": data set ", name,
            " is damaged");
    array.type = TypeOf(type.get());
    ReadShape(dataset, array);
    if (array.type.kind == ElementType::Kind::kOther)
      array.indirect = StrCat("its elements are of type ", array.type.name);
    array.fill.assign(array.type.bytes, '\0');
    if (array.direct() && array.type.bytes > 0 &&
        H5Pget_fill_value(creation.get(), type.get(), array.fill.data()) < 0)
      array.fill.assign(array.type.bytes, '\0');
    ReadFilters(creation.get(), array);
    const std::string unknown = UnknownFilter(array);
    if (!unknown.empty()) array.indirect = StrCat("it is stored with ", unknown);
    ReadLayout(dataset, creation.get(), array);
    if (!array.direct()) array.chunks.clear();
    return array;
  }

  void ReadLayout(hid_t dataset, hid_t creation, Hdf5Array& array) {
    switch (H5Pget_layout(creation)) {
      case H5D_CONTIGUOUS:
        return ReadContiguous(dataset, creation, array);
      case H5D_CHUNKED:
        return ReadChunked(dataset, creation, array);
      case H5D_COMPACT:
        array.layout = ArrayLayout::kCompact;
        array.compact.resize(array.direct() ? array.bytes() : 0);
        if (array.direct()) ReadStored(dataset, array);
        return;
      default:
        array.indirect = "it is virtual: its values lie in other data sets";
    }
  }
  void ReadContiguous(hid_t dataset, hid_t creation, Hdf5Array& array) {
    array.layout = ArrayLayout::kContiguous;
    if (H5Pget_external_count(creation) > 0) {
      array.indirect = "its values lie in other files";
      return;
    }
    H5D_space_status_t space = H5D_SPACE_STATUS_NOT_ALLOCATED;
    H5Dget_space_status(dataset, &space);
    if (space == H5D_SPACE_STATUS_NOT_ALLOCATED) return;  // never written: all fill value
    const haddr_t offset = H5Dget_offset(dataset);
    array.offset = offset;
    Require(!array.direct() || (offset <= bytes_.size() && array.bytes() <= bytes_.size() - offset),
            ExitCode::kInvalidData, bytes_.path(), ": data set ", array.path,
            " reaches beyond the end of the file");
  }
  void ReadChunked(hid_t dataset, hid_t creation, Hdf5Array& array) {
    array.layout = ArrayLayout::kChunked;
    std::vector<hsize_t> chunk(array.shape.size());
    H5Pget_chunk(creation, static_cast<int>(chunk.size()), chunk.data());
    array.chunk.assign(chunk.begin(), chunk.end());
    if (!array.direct() || array.elements() == 0) return;
    if (std::count(chunk.begin(), chunk.end(), 0) > 0) {
      array.indirect = "its chunks have no extent";
      return;
    }
    // A grid that no file of this size can hold, even at the best compression, is not laid out.
    std::uint64_t grid = 1;
    for (const std::uint64_t dim : ChunkGrid(array)) grid *= dim;
    if (grid > bytes_.size() && grid > 1U << 20) {
      array.indirect = StrCat("it has ", grid, " chunks, most of them unwritten");
      return;
    }
    std::optional<std::vector<ChunkPlace>> table;
    if (wide_ && array.header != ChunkPlace::kNowhere)
      table = ReadChunkTable(bytes_, array, base_, array.header);
    array.chunks = table ? *std::move(table) : EnumerateChunks(dataset, array);
    if (array.chunks.empty()) array.indirect = "its index of chunks is of an unusual kind";
  }
  void ReadStored(hid_t dataset, Hdf5Array& array) {
    const Hdf5Handle type(H5Dget_type(dataset), H5Tclose);
    Require(H5Dread(dataset, type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, array.compact.data()) >= 0,
            ExitCode::kInvalidData, bytes_.path(), ": data set ", array.path, " cannot be read");
  }

  RandomFile bytes_;
  const Hdf5Session session_;
  Hdf5Handle file_;
  std::uint64_t base_ = 0;
  bool wide_ = false;  // addresses and lengths of 8 bytes
  std::set<std::string> names_;
};

}  // namespace

Hdf5Handle OpenHdf5(const std::string& path) {
  const Hdf5Session session;
  const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_file_locking(access.get(), false, true);
  Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
  Require(file.ok(), ExitCode::kInvalidData, path,
          ": HDF5 cannot open it (damaged, cut short, or no HDF5 file)");
  return file;
}

std::vector<Hdf5Array> SurveyHdf5(const std::string& path) { return Surveyor(path).All(); }

hid_t NativeType(const ElementType& type) {
  const int log = type.bytes == 1 ? 0 : type.bytes == 2 ? 1 : type.bytes == 4 ? 2 : 3;
  switch (type.kind) {
    case ElementType::Kind::kUnsigned: {
      const hid_t types[] = {H5T_NATIVE_UINT8, H5T_NATIVE_UINT16, H5T_NATIVE_UINT32,
                             H5T_NATIVE_UINT64};
      return types[log];
    }
    case ElementType::Kind::kSigned: {
      const hid_t types[] = {H5T_NATIVE_INT8, H5T_NATIVE_INT16, H5T_NATIVE_INT32, H5T_NATIVE_INT64};
      return types[log];
    }
    default:
      return type.bytes == 4 ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
  }
}

}  // namespace vesalius::data
