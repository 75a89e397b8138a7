#include "data/hdf5/survey.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "data/hdf5/filters.h"
#include "data/hdf5/random_file.h"
#include "data/hdf5/recorder.h"

namespace vesalius::data {
namespace {

constexpr std::uint64_t kMaxChunks = std::uint64_t{1} << 26;         // 1.5 GiB of index
constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{256} << 10;  // that are told

bool HasVariableLength(hid_t type) {
  return H5Tdetect_class(type, H5T_VLEN) > 0 || H5Tis_variable_str(type) > 0;
}

std::string NameOf(hid_t type) {
  const std::size_t bytes = H5Tget_size(type);
  switch (H5Tget_class(type)) {
    case H5T_STRING:
      return H5Tis_variable_str(type) > 0 ? "string" : StrCat("string of ", bytes, " bytes");
    case H5T_COMPOUND: {
      std::string members;
      for (int i = 0; i < H5Tget_nmembers(type); ++i) {
        const Hdf5Handle member(H5Tget_member_type(type, static_cast<unsigned>(i)), H5Tclose);
        char* name = H5Tget_member_name(type, static_cast<unsigned>(i));
        members += StrCat(i > 0 ? ", " : "", name, ": ", TypeOf(member.get()).name);
        H5free_memory(name);
      }
      return StrCat("{", members, "}");
    }
    case H5T_ARRAY: {
      const Hdf5Handle base(H5Tget_super(type), H5Tclose);
      std::vector<hsize_t> dims(static_cast<std::size_t>(H5Tget_array_ndims(type)));
      H5Tget_array_dims2(type, dims.data());
      std::string name = TypeOf(base.get()).name;
      for (const hsize_t n : dims) name += StrCat("[", n, "]");
      return name;
    }
    case H5T_VLEN:
      return "sequence of variable length";
    case H5T_REFERENCE:
      return "reference";
    case H5T_OPAQUE:
      return StrCat("opaque of ", bytes, " bytes");
    case H5T_BITFIELD:
      return StrCat("bit field of ", bytes, " bytes");
    case H5T_TIME:
      return "time";
    default:
      return StrCat("unusual number of ", bytes, " bytes");
  }
}

// IEEE 754 half precision, which this library has no name for.
bool IsHalf(hid_t type) {
  std::size_t sign, exponent, exponent_bits, mantissa, mantissa_bits;
  return H5Tget_class(type) == H5T_FLOAT && H5Tget_size(type) == 2 &&
         H5Tget_fields(type, &sign, &exponent, &exponent_bits, &mantissa, &mantissa_bits) >= 0 &&
         sign == 15 && exponent == 10 && exponent_bits == 5 && mantissa == 0 &&
         mantissa_bits == 10 && H5Tget_norm(type) == H5T_NORM_IMPLIED && H5Tget_ebias(type) == 15;
}

}  // namespace

// Numbers only where memory can hold them as they are: whole bytes, no padding, IEEE floats.
ElementType TypeOf(hid_t stored) {
  ElementType type;
  type.bytes = static_cast<std::uint32_t>(H5Tget_size(stored));
  const H5T_class_t kind = H5Tget_class(stored);
  Hdf5Handle base;
  if (kind == H5T_ENUM) base = Hdf5Handle(H5Tget_super(stored), H5Tclose);
  const hid_t number = base.ok() ? base.get() : stored;
  const auto is = [&](hid_t little, hid_t big) {
    return H5Tequal(number, little) > 0 || H5Tequal(number, big) > 0;
  };
  const bool whole = is(H5T_STD_U8LE, H5T_STD_U8BE) || is(H5T_STD_U16LE, H5T_STD_U16BE) ||
                     is(H5T_STD_U32LE, H5T_STD_U32BE) || is(H5T_STD_U64LE, H5T_STD_U64BE);
  const bool negative = is(H5T_STD_I8LE, H5T_STD_I8BE) || is(H5T_STD_I16LE, H5T_STD_I16BE) ||
                        is(H5T_STD_I32LE, H5T_STD_I32BE) || is(H5T_STD_I64LE, H5T_STD_I64BE);
  const bool real =
      is(H5T_IEEE_F32LE, H5T_IEEE_F32BE) || is(H5T_IEEE_F64LE, H5T_IEEE_F64BE) || IsHalf(number);
  if (!whole && !negative && !real) {
    const bool bytes = kind == H5T_STRING || kind == H5T_COMPOUND || kind == H5T_ARRAY ||
                       kind == H5T_OPAQUE || kind == H5T_BITFIELD;
    if (bytes && !HasVariableLength(stored)) type.kind = ElementType::Kind::kBytes;
    if (H5Tis_variable_str(stored) > 0) type.kind = ElementType::Kind::kText;
    type.name = NameOf(stored);
    return type;
  }
  type.big_endian = H5Tget_order(number) == H5T_ORDER_BE;
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

namespace {

void ReadShape(hid_t dataset, Hdf5Array& array) {
  const Hdf5Handle space(H5Dget_space(dataset), H5Sclose);
  const H5S_class_t kind = space.ok() ? H5Sget_simple_extent_type(space.get()) : H5S_NO_CLASS;
  array.null = kind == H5S_NULL;
  if (array.null) array.shape = {0};
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

std::string AttributeText(hid_t attribute) {
  const Hdf5Handle type(H5Aget_type(attribute), H5Tclose), space(H5Aget_space(attribute), H5Sclose);
  if (!type.ok() || H5Sget_simple_extent_npoints(space.get()) != 1) return "";
  if (H5Tget_class(type.get()) == H5T_INTEGER) {
    long long value = 0;
    return H5Aread(attribute, H5T_NATIVE_LLONG, &value) >= 0 ? StrCat(value) : "";
  }
  if (H5Tget_class(type.get()) != H5T_STRING) return "";
  if (H5Tis_variable_str(type.get()) > 0) {
    char* text = nullptr;
    if (H5Aread(attribute, type.get(), &text) < 0 || text == nullptr) return "";
    std::string copy(text);
    H5free_memory(text);
    return copy;
  }
  std::string text(H5Tget_size(type.get()), '\0');
  return H5Aread(attribute, type.get(), text.data()) >= 0 ? text.c_str() : "";
}

std::map<std::string, std::string> RootAttributes(hid_t file) {
  using Found = std::map<std::string, std::string>;
  Found found;
  const auto visit = [](hid_t root, const char* name, const H5A_info_t*, void* out) -> herr_t {
    const Hdf5Handle attribute(H5Aopen(root, name, H5P_DEFAULT), H5Aclose);
    std::string text = attribute.ok() ? AttributeText(attribute.get()) : "";
    if (!text.empty()) (*static_cast<Found*>(out))[name] = std::move(text);
    return 0;
  };
  H5Aiterate2(file, H5_INDEX_NAME, H5_ITER_INC, nullptr, visit, &found);
  return found;
}

// Sorted and joined, without what follows the first kMaxHeaderBytes in the order of reading:
// superblock and object headers come first, long chunk tables last.
std::vector<ByteRange> HeaderRanges(const std::vector<ByteRange>& read, std::uint64_t file_bytes) {
  std::vector<ByteRange> ranges, joined;
  std::uint64_t bytes = 0;
  for (ByteRange range : read) {
    if (range.offset >= file_bytes) continue;
    range.bytes = std::min(range.bytes, file_bytes - range.offset);
    if ((bytes += range.bytes) > kMaxHeaderBytes) break;
    ranges.push_back(range);
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const ByteRange& a, const ByteRange& b) { return a.offset < b.offset; });
  for (const ByteRange& range : ranges) {
    if (joined.empty() || range.offset > joined.back().offset + joined.back().bytes) {
      joined.push_back(range);
      continue;
    }
    ByteRange& last = joined.back();
    last.bytes = std::max(last.offset + last.bytes, range.offset + range.bytes) - last.offset;
  }
  return joined;
}

// The places of all chunks of a data set. The library is asked to read each; the recorder hears
// where. How many there should be is the library's word too.
class ChunkFinder {
 public:
  ChunkFinder(Recorder& recorder, hid_t dataset, const Hdf5Array& array)
      : recorder_(recorder), dataset_(dataset), array_(array) {}

  // Nothing when the library's count differs: its table has more than the grid.
  std::vector<ChunkPlace> All(std::uint64_t chunks) {
    std::vector<ChunkPlace> places;
    places.reserve(chunks);
    std::vector<hsize_t> at(array_.shape.size(), 0);
    recorder_.SkipValues(true);
    for (std::uint64_t i = 0; i < chunks; ++i) {
      places.push_back(Find(at.data()));
      for (std::size_t d = at.size(); d-- > 0;) {
        at[d] += array_.chunk[d];
        if (at[d] < array_.shape[d]) break;
        at[d] = 0;
      }
    }
    recorder_.SkipValues(false);
    const Hdf5Handle space(H5Dget_space(dataset_), H5Sclose);
    hsize_t count = 0;
    if (H5Dget_num_chunks(dataset_, space.get(), &count) < 0 || count != found_) places.clear();
    return places;
  }

 private:
  ChunkPlace Find(const hsize_t* at) {
    ChunkPlace place;
    hsize_t stored = 0;
    if (H5Dget_chunk_storage_size(dataset_, at, &stored) >= 0 && stored == 0) return place;
    ByteRange range;
    recorder_.TakeLastValues(&range);
    char nothing = 0;  // the recorder does not fill it
    if (H5Dread_chunk(dataset_, H5P_DEFAULT, at, &place.skipped, &nothing) < 0 ||
        !recorder_.TakeLastValues(&range))
      return {};
    ++found_;
    place.offset = range.offset;
    place.bytes = range.bytes;
    return place;
  }

  Recorder& recorder_;
  hid_t dataset_;
  const Hdf5Array& array_;
  std::uint64_t found_ = 0;
};

class Surveyor {
 public:
  explicit Surveyor(const std::string& path) : bytes_(path), file_(path) {
    Require(file_.ok(), ExitCode::kInvalidData, path,
            ": HDF5 cannot open it (damaged, cut short, or no HDF5 file)");
  }

  Hdf5Contents All() {
    Hdf5Contents contents;
    contents.attributes = RootAttributes(file_.file());
    H5Lvisit(
        file_.file(), H5_INDEX_NAME, H5_ITER_NATIVE,
        [](hid_t, const char* name, const H5L_info_t* link, void* self) -> herr_t {
          static_cast<Surveyor*>(self)->links_[StrCat("/", name)] = link->type;
          return 0;
        },
        this);
    for (const auto& [name, link] : links_) {
      const Hdf5Handle object(H5Oopen(file_.file(), name.c_str(), H5P_DEFAULT), H5Oclose);
      if (object.ok() && H5Iget_type(object.get()) == H5I_DATASET)
        contents.arrays.push_back(Describe(object.get(), name));
      else if (!object.ok() && link == H5L_TYPE_HARD)
        contents.arrays.push_back(Unopened(name));
    }
    contents.headers = HeaderRanges(file_.metadata(), bytes_.size());
    const std::string wrong = Inconsistency(contents, bytes_.size());
    Require(wrong.empty(), ExitCode::kInvalidData, bytes_.path(), ": ", wrong);
    return contents;
  }

 private:
  // Listed all the same, so that nothing seems absent that is there.
  static Hdf5Array Unopened(const std::string& name) {
    Hdf5Array array;
    array.path = name;
    array.type.bytes = 1;
    array.type.name = "unknown";
    array.null = true;
    array.shape = {0};
    array.indirect = StrCat("HDF5 ", H5_VERS_MAJOR, ".", H5_VERS_MINOR, ".", H5_VERS_RELEASE,
                            " cannot open it: damaged, or of a newer version of the format");
    return array;
  }
  Hdf5Array Describe(hid_t dataset, const std::string& name) {
    Hdf5Array array;
    array.path = name;
    const Hdf5Handle type(H5Dget_type(dataset), H5Tclose);
    const Hdf5Handle creation(H5Dget_create_plist(dataset), H5Pclose);
    Require(type.ok() && creation.ok(), ExitCode::kInvalidData, bytes_.path(), ": data set ", name,
            " is damaged");
    array.type = TypeOf(type.get());
    ReadShape(dataset, array);
    if (array.type.kind > ElementType::Kind::kBytes)
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
    unsigned options = 0;
    if (H5Pget_chunk_opts(creation, &options) >= 0)
      array.plain_edges = (options & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS) != 0;
    if (!array.direct()) return;
    std::uint64_t chunks = 1;
    for (const std::uint64_t n : ChunkGrid(array))
      chunks = n == 0 || chunks == 0
                   ? 0
                   : std::min(chunks, kMaxChunks + 1) * std::min(n, kMaxChunks + 1);
    if (chunks > kMaxChunks) {
      array.indirect = StrCat("it has more than ", kMaxChunks, " chunks");
      return;
    }
    array.chunks = ChunkFinder(file_, dataset, array).All(chunks);
    if (array.chunks.size() != chunks) array.indirect = "its table of chunks is of an unusual kind";
  }
  void ReadStored(hid_t dataset, Hdf5Array& array) {
    const Hdf5Handle type(H5Dget_type(dataset), H5Tclose);
    Require(H5Dread(dataset, type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, array.compact.data()) >= 0,
            ExitCode::kInvalidData, bytes_.path(), ": data set ", array.path, " cannot be read");
  }

  RandomFile bytes_;
  const Hdf5Session session_;
  Recorder file_;
  std::map<std::string, H5L_type_t> links_;
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

Hdf5Contents SurveyHdf5(const std::string& path) { return Surveyor(path).All(); }

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
