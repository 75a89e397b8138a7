#include "data/shards/shard_reader.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "data/hdf5/hdf5_handle.h"
#include "data/shards/fingerprint.h"

namespace vesalius::data {
namespace {

using Dims = std::vector<hsize_t>;

template <typename... Parts>
void Valid(bool ok, const Parts&... parts) {
  Require(ok, ExitCode::kInvalidData, parts...);
}

// A contiguous data set, read with pread() at its place in the file: no lock, no HDF5.
struct Column {
  std::string name;
  haddr_t offset = 0;
  std::uint64_t rows = 0;
  std::size_t row_bytes = 0;
};

struct Strings {
  Column offsets, bytes;
};

struct Images {
  Hdf5Handle dataset;
  std::uint64_t rows = 0;
};

Dims Extent(hid_t dataset) {
  const Hdf5Handle space(H5Dget_space(dataset), H5Sclose);
  const int rank = space.ok() ? H5Sget_simple_extent_ndims(space.get()) : -1;
  Valid(rank >= 0, "no extent");
  Dims dims(static_cast<std::size_t>(rank));
  if (rank > 0) H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr);
  return dims;
}

// A data set of the given name and type, whose extent beyond the first dimension is `tail`.
Hdf5Handle OpenDataset(hid_t file, const std::string& name, hid_t type, const Dims& tail,
                       std::uint64_t* rows) {
  Hdf5Handle dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose);
  Valid(dataset.ok(), "data set '", name, "' is missing or damaged");
  const Hdf5Handle stored(H5Dget_type(dataset.get()), H5Tclose);
  Valid(stored.ok() && H5Tequal(stored.get(), type) > 0, "data set '", name, "' has a wrong type");
  const Dims dims = Extent(dataset.get());
  Valid(dims.size() == tail.size() + 1 && std::equal(tail.begin(), tail.end(), dims.begin() + 1),
        "data set '", name, "' has a wrong shape");
  *rows = dims[0];
  return dataset;
}

class Hdf5Shard final : public ShardReader {
 public:
  explicit Hdf5Shard(const std::string& path);

  std::int64_t records() const override { return records_; }
  const ShardShape& shape() const override { return shape_; }
  Record Read(std::int64_t row) const override;

 private:
  std::int64_t Attribute(const char* name, std::int64_t low, std::int64_t high) const;
  void OpenFile();
  void ReadAttributes();
  void OpenColumns();
  Column OpenColumn(const std::string& name, hid_t type, const Dims& tail,
                    std::uint64_t rows) const;
  Column OpenVariableColumn(const std::string& name, hid_t type, const Dims& tail) const;
  Strings OpenStrings(const char* name, std::uint64_t rows) const;
  Images OpenImages(const char* name, hid_t type) const;

  // `count` rows from `row` on, into `out`.
  void ReadRows(const Column& column, std::uint64_t row, std::uint64_t count, void* out) const;
  template <typename T>
  T ReadValue(const Column& column, std::uint64_t row) const {
    T value;
    ReadRows(column, row, 1, &value);
    return value;
  }
  std::vector<std::string> ReadTexts(const Strings& strings, std::uint64_t row,
                                     std::uint64_t count) const;
  std::string ReadText(const Strings& strings, std::uint64_t row) const {
    return ReadTexts(strings, row, 1).front();
  }
  Image ReadImage(std::uint64_t row) const;
  void ReadSentences(std::uint64_t row, Record& record) const;
  Record ReadFields(std::uint64_t row) const;

  std::string path_;
  std::uint64_t file_bytes_ = 0;
  Hdf5Handle file_;
  int fd_ = -1;  // the library's own
  std::int64_t records_ = 0;
  ShardShape shape_;
  Images u8_, u16_;
  Column image_row_, crc_, split_, view_, geometry_, scale_, report_hash_, boxes_, box_valid_,
      region_labels_, region_abnormal_, image_labels_, sentence_first_, sentence_region_,
      sentence_finding_, sentence_polarity_;
  Strings image_id_, study_id_, patient_id_, report_, sentence_text_;
};

Hdf5Shard::Hdf5Shard(const std::string& path) : path_(path) {
  Require(Exists(path), ExitCode::kInputMissing, path,
          " does not exist; copy the data set again or import it anew");
  file_bytes_ = FileSize(path);
  const Hdf5Session session;
  try {
    OpenFile();
    ReadAttributes();
    OpenColumns();
  } catch (const Error& error) {
    Fail(error.code(), path, " is not a readable shard: ", error.what(),
         "; copy the data set again or import it anew");
  }
}

void Hdf5Shard::OpenFile() {
  // Shards never change once published: no file locks, which some network file systems lack.
  const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_file_locking(access.get(), false, true);
  file_ = Hdf5Handle(H5Fopen(path_.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
  Valid(file_.ok(), "HDF5 cannot open it (damaged, cut short, or no HDF5 file)");
  void* handle = nullptr;
  Valid(H5Fget_vfd_handle(file_.get(), access.get(), &handle) >= 0 && handle != nullptr,
        "no file descriptor");
  fd_ = *static_cast<int*>(handle);
}

std::int64_t Hdf5Shard::Attribute(const char* name, std::int64_t low, std::int64_t high) const {
  const Hdf5Handle attribute(H5Aopen(file_.get(), name, H5P_DEFAULT), H5Aclose);
  std::int64_t value = 0;
  Valid(attribute.ok() && H5Aread(attribute.get(), H5T_NATIVE_INT64, &value) >= 0, "attribute '",
        name, "' is missing");
  Valid(value >= low && value <= high, "attribute '", name, "' is ", value);
  return value;
}

void Hdf5Shard::ReadAttributes() {
  const Hdf5Handle format(H5Aopen(file_.get(), shard::kFormat, H5P_DEFAULT), H5Aclose);
  const Hdf5Handle type(H5Aget_type(format.get()), H5Tclose);
  char text[sizeof(kShardFormat)] = {};
  Valid(format.ok() && H5Tget_size(type.get()) == sizeof(text) &&
            H5Aread(format.get(), type.get(), text) >= 0 &&
            std::memcmp(text, kShardFormat, sizeof(text)) == 0,
        "an HDF5 file, but not a shard of Vesalius");
  const std::int64_t version = Attribute(shard::kVersion, 0, INT32_MAX);
  Valid(version == kSchemaVersion, "schema version ", version, ", this program reads version ",
        kSchemaVersion);
  records_ = Attribute(shard::kRecords, 0, INT32_MAX);
  shape_.stored_size = static_cast<int>(Attribute(shard::kStoredSize, 1, 1 << 15));
  shape_.channels = static_cast<int>(Attribute(shard::kChannels, 1, 4));
  shape_.findings = static_cast<int>(Attribute(shard::kFindings, 0, INT16_MAX));
  shape_.image_labels = static_cast<int>(Attribute(shard::kImageLabels, 0, INT16_MAX));
}

Column Hdf5Shard::OpenVariableColumn(const std::string& name, hid_t type, const Dims& tail) const {
  Column column;
  column.name = name;
  const Hdf5Handle dataset = OpenDataset(file_.get(), name, type, tail, &column.rows);
  const Hdf5Handle creation(H5Dget_create_plist(dataset.get()), H5Pclose);
  Valid(H5Pget_layout(creation.get()) == H5D_CONTIGUOUS, "data set '", name, "' is not contiguous");
  column.row_bytes = H5Tget_size(type);
  for (const hsize_t dim : tail) column.row_bytes *= dim;
  const std::uint64_t bytes = column.rows * column.row_bytes;
  if (bytes == 0) return column;
  column.offset = H5Dget_offset(dataset.get());
  Valid(column.offset != HADDR_UNDEF && column.offset <= file_bytes_ &&
            bytes <= file_bytes_ - column.offset,
        "data set '", name, "' reaches beyond the end of the file");
  return column;
}

Column Hdf5Shard::OpenColumn(const std::string& name, hid_t type, const Dims& tail,
                             std::uint64_t rows) const {
  Column column = OpenVariableColumn(name, type, tail);
  Valid(column.rows == rows, "data set '", name, "' has ", column.rows, " rows instead of ", rows);
  return column;
}

Strings Hdf5Shard::OpenStrings(const char* name, std::uint64_t rows) const {
  return {OpenColumn(shard::Offsets(name), H5T_STD_U64LE, {}, rows + 1),
          OpenVariableColumn(shard::Bytes(name), H5T_STD_U8LE, {})};
}

Images Hdf5Shard::OpenImages(const char* name, hid_t type) const {
  const auto side = static_cast<hsize_t>(shape_.stored_size);
  Images images;
  images.dataset = OpenDataset(file_.get(), name, type,
                               {side, side, static_cast<hsize_t>(shape_.channels)}, &images.rows);
  return images;
}

void Hdf5Shard::OpenColumns() {
  u8_ = OpenImages(shard::kImageU8, H5T_STD_U8LE);
  u16_ = OpenImages(shard::kImageU16, H5T_STD_U16LE);
  const auto n = static_cast<std::uint64_t>(records_);
  const auto findings = static_cast<hsize_t>(shape_.findings);
  const auto labels = static_cast<hsize_t>(shape_.image_labels);
  image_row_ = OpenColumn(shard::kImageRow, H5T_STD_I64LE, {}, n);
  crc_ = OpenColumn(shard::kCrc, H5T_STD_U32LE, {}, n);
  split_ = OpenColumn(shard::kSplit, H5T_STD_U8LE, {}, n);
  view_ = OpenColumn(shard::kView, H5T_STD_U8LE, {}, n);
  geometry_ = OpenColumn(shard::kGeometry, H5T_STD_I32LE, {4}, n);
  scale_ = OpenColumn(shard::kScale, H5T_IEEE_F32LE, {}, n);
  report_hash_ = OpenColumn(shard::kReportHash, H5T_STD_U64LE, {}, n);
  boxes_ = OpenColumn(shard::kBoxes, H5T_IEEE_F32LE, {kRegions, 4}, n);
  box_valid_ = OpenColumn(shard::kBoxValid, H5T_STD_U8LE, {kRegions}, n);
  region_labels_ = OpenColumn(shard::kRegionLabels, H5T_STD_I8LE, {kRegions, findings}, n);
  region_abnormal_ = OpenColumn(shard::kRegionAbnormal, H5T_STD_I8LE, {kRegions}, n);
  image_labels_ = OpenColumn(shard::kImageLabelRows, H5T_STD_I8LE, {labels}, n);
  sentence_first_ = OpenColumn(shard::kSentenceFirst, H5T_STD_U64LE, {}, n + 1);
  sentence_region_ = OpenVariableColumn(shard::kSentenceRegion, H5T_STD_U8LE, {});
  const std::uint64_t m = sentence_region_.rows;
  sentence_finding_ = OpenColumn(shard::kSentenceFinding, H5T_STD_I16LE, {}, m);
  sentence_polarity_ = OpenColumn(shard::kSentencePolarity, H5T_STD_I8LE, {}, m);
  image_id_ = OpenStrings(shard::kImageId, n);
  study_id_ = OpenStrings(shard::kStudyId, n);
  patient_id_ = OpenStrings(shard::kPatientId, n);
  report_ = OpenStrings(shard::kReport, n);
  sentence_text_ = OpenStrings(shard::kSentence, m);
}

void Hdf5Shard::ReadRows(const Column& column, std::uint64_t row, std::uint64_t count,
                         void* out) const {
  Valid(row <= column.rows && count <= column.rows - row, "data set '", column.name,
        "' has no rows ", row, " to ", row + count);
  const std::size_t bytes = count * column.row_bytes;
  const std::uint64_t start = column.offset + row * column.row_bytes;
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t n = ::pread(fd_, static_cast<char*>(out) + done, bytes - done,
                              static_cast<off_t>(start + done));
    if (n < 0 && errno == EINTR) continue;
    Valid(n > 0, "data set '", column.name,
          "' cannot be read: ", n < 0 ? std::strerror(errno) : "the file ends before it");
    done += static_cast<std::size_t>(n);
  }
}

std::vector<std::string> Hdf5Shard::ReadTexts(const Strings& strings, std::uint64_t row,
                                              std::uint64_t count) const {
  std::vector<std::uint64_t> offsets(count + 1);
  ReadRows(strings.offsets, row, count + 1, offsets.data());
  std::vector<std::string> texts(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    Valid(offsets[i] <= offsets[i + 1] && offsets[i + 1] <= strings.bytes.rows, "data set '",
          strings.offsets.name, "' is damaged");
    texts[i].resize(offsets[i + 1] - offsets[i]);
    ReadRows(strings.bytes, offsets[i], texts[i].size(), texts[i].data());
  }
  return texts;
}

Image Hdf5Shard::ReadImage(std::uint64_t row) const {
  const auto place = ReadValue<std::int64_t>(image_row_, row);
  const bool deep = place < 0;
  const Images& images = deep ? u16_ : u8_;
  const auto image_row = static_cast<hsize_t>(deep ? -1 - place : place);
  Valid(image_row < images.rows, "data set '", image_row_.name, "' is damaged");
  Image image;
  image.width = image.height = shape_.stored_size;
  image.channels = shape_.channels;
  const auto side = static_cast<hsize_t>(shape_.stored_size);
  const hsize_t start[4] = {image_row, 0, 0, 0};
  const hsize_t count[4] = {1, side, side, static_cast<hsize_t>(shape_.channels)};
  const std::size_t pixels = side * side * count[3];
  deep ? image.u16.resize(pixels) : image.u8.resize(pixels);
  void* out = deep ? static_cast<void*>(image.u16.data()) : image.u8.data();

  const Hdf5Session session;
  const Hdf5Handle space(H5Dget_space(images.dataset.get()), H5Sclose);
  const Hdf5Handle memory(H5Screate_simple(4, count, nullptr), H5Sclose);
  const bool read =
      H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start, nullptr, count, nullptr) >= 0 &&
      H5Dread(images.dataset.get(), deep ? H5T_NATIVE_UINT16 : H5T_NATIVE_UINT8, memory.get(),
              space.get(), H5P_DEFAULT, out) >= 0;
  Valid(read, "its image cannot be read or decompressed");
  return image;
}

void Hdf5Shard::ReadSentences(std::uint64_t row, Record& record) const {
  std::uint64_t range[2];
  ReadRows(sentence_first_, row, 2, range);
  Valid(range[0] <= range[1] && range[1] <= sentence_region_.rows, "data set '",
        sentence_first_.name, "' is damaged");
  const std::uint64_t first = range[0], count = range[1] - range[0];
  std::vector<std::uint8_t> regions(count);
  std::vector<std::int16_t> findings(count);
  std::vector<std::int8_t> polarities(count);
  ReadRows(sentence_region_, first, count, regions.data());
  ReadRows(sentence_finding_, first, count, findings.data());
  ReadRows(sentence_polarity_, first, count, polarities.data());
  std::vector<std::string> texts = ReadTexts(sentence_text_, first, count);
  for (std::uint64_t i = 0; i < count; ++i) {
    Valid(regions[i] < kRegions, "data set '", sentence_region_.name, "' is damaged");
    Valid(shape_.Holds(findings[i]), "data set '", sentence_finding_.name, "' names finding ",
          findings[i], " of ", shape_.findings);
    Valid(IsPolarity(polarities[i]), "data set '", sentence_polarity_.name, "' holds ",
          static_cast<int>(polarities[i]), " instead of 0 or 1");
    record.sentences[regions[i]].push_back({std::move(texts[i]), findings[i], polarities[i]});
  }
}

Record Hdf5Shard::ReadFields(std::uint64_t row) const {
  Record record;
  record.image_id = ReadText(image_id_, row);
  record.study_id = ReadText(study_id_, row);
  record.patient_id = ReadText(patient_id_, row);
  record.split = ReadValue<Split>(split_, row);
  record.view = ReadValue<View>(view_, row);
  record.image = ReadImage(row);
  std::int32_t geometry[4];
  ReadRows(geometry_, row, 1, geometry);
  record.geometry = {geometry[0], geometry[1], ReadValue<float>(scale_, row), geometry[2],
                     geometry[3]};
  record.report = ReadText(report_, row);
  record.report_hash = ReadValue<std::uint64_t>(report_hash_, row);
  ReadRows(boxes_, row, 1, record.boxes.data());
  ReadRows(box_valid_, row, 1, record.box_valid.data());
  record.region_labels.resize(region_labels_.row_bytes);
  ReadRows(region_labels_, row, 1, record.region_labels.data());
  ReadRows(region_abnormal_, row, 1, record.region_abnormal.data());
  record.image_labels.resize(image_labels_.row_bytes);
  ReadRows(image_labels_, row, 1, record.image_labels.data());
  ReadSentences(row, record);
  return record;
}

Record Hdf5Shard::Read(std::int64_t row) const {
  Invariant(row >= 0 && row < records_, "record ", row, " of ", records_, " in ", path_);
  const auto index = static_cast<std::uint64_t>(row);
  try {
    Record record = ReadFields(index);
    Valid(RecordCrc(record) == ReadValue<std::uint32_t>(crc_, index), "wrong checksum");
    return record;
  } catch (const Error& error) {
    Fail(ExitCode::kInvalidData, path_, ", record ", row, " is damaged: ", error.what(),
         "; copy the shard again or import the data anew");
  }
}

}  // namespace

bool IsHdf5(const std::string& path) {
  constexpr std::string_view kSignature("\x89HDF\r\n\x1a\n", 8);
  if (!Exists(path) || IsDir(path) || FileSize(path) < kSignature.size()) return false;
  std::string start(kSignature.size(), '\0');
  ReadAt(path, 0, start.data(), start.size());
  return start == kSignature;
}

std::unique_ptr<ShardReader> OpenShard(const std::string& path) {
  return std::make_unique<Hdf5Shard>(path);
}

}  // namespace vesalius::data
