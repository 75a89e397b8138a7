#include "data/shards/shard_builder.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "data/hdf5/hdf5_handle.h"
#include "data/shards/fingerprint.h"

namespace vesalius::data {
namespace {

constexpr unsigned kDeflateLevel = 4;

constexpr std::size_t kMemoryIncrement = 1 << 20;  // by which the file in memory grows

using Dims = std::vector<hsize_t>;

void Check(bool ok, const char* what) { Invariant(ok, "HDF5 cannot lay out a shard (", what, ")"); }

Hdf5Handle Properties(hid_t kind) {
  Hdf5Handle properties(H5Pcreate(kind), H5Pclose);
  Check(properties.ok(), "property list");
  return properties;
}

// The file's own end, from its superblock (versions 2 and 3); the memory behind it is larger.
std::uint64_t EndOfFile(const void* file) {
  constexpr std::size_t kEndOfFileAddress = 28;
  std::uint64_t end;
  std::memcpy(&end, static_cast<const char*>(file) + kEndOfFileAddress, sizeof(end));
  return end;
}

// Takes the memory driver's file over when it is closed. (H5Fget_file_image of HDF5 1.10.8 would
// give it as still open for writing, with a superblock that no reader accepts.)
H5FD_file_image_callbacks_t CaptureCallbacks(std::string* capture) {
  H5FD_file_image_callbacks_t callbacks{};
  callbacks.image_malloc = [](std::size_t n, H5FD_file_image_op_t, void*) {
    return std::malloc(n);
  };
  callbacks.image_memcpy = [](void* to, const void* from, std::size_t n, H5FD_file_image_op_t,
                              void*) { return std::memcpy(to, from, n); };
  callbacks.image_realloc = [](void* p, std::size_t n, H5FD_file_image_op_t, void*) {
    return std::realloc(p, n);
  };
  callbacks.image_free = [](void* p, H5FD_file_image_op_t op, void* user) -> herr_t {
    if (op == H5FD_FILE_IMAGE_OP_FILE_CLOSE && p != nullptr)
      static_cast<std::string*>(user)->assign(static_cast<const char*>(p), EndOfFile(p));
    std::free(p);
    return 0;
  };
  callbacks.udata_copy = [](void* user) { return user; };
  callbacks.udata_free = [](void*) -> herr_t { return 0; };
  callbacks.udata = capture;
  return callbacks;
}

// A file in memory, of the newest format that the library writes: its metadata carries checksums.
Hdf5Handle CreateFile(std::string* capture) {
  const Hdf5Handle access = Properties(H5P_FILE_ACCESS), creation = Properties(H5P_FILE_CREATE);
  H5FD_file_image_callbacks_t callbacks = CaptureCallbacks(capture);
  Check(H5Pset_fapl_core(access.get(), kMemoryIncrement, false) >= 0, "memory driver");
  Check(H5Pset_file_image_callbacks(access.get(), &callbacks) >= 0, "memory driver");
  Check(H5Pset_libver_bounds(access.get(), H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) >= 0, "version");
  Check(H5Pset_obj_track_times(creation.get(), false) >= 0, "times");
  Hdf5Handle file(H5Fcreate("shard in memory", H5F_ACC_TRUNC, creation.get(), access.get()),
                  H5Fclose);
  Check(file.ok(), "file");
  return file;
}

void WriteDataset(hid_t file, const std::string& name, hid_t type, const Dims& dims, hid_t creation,
                  const void* values) {
  const Hdf5Handle space(H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr),
                         H5Sclose);
  Check(H5Pset_obj_track_times(creation, false) >= 0, "times");
  const Hdf5Handle dataset(
      H5Dcreate2(file, name.c_str(), type, space.get(), H5P_DEFAULT, creation, H5P_DEFAULT),
      H5Dclose);
  Check(dataset.ok(), name.c_str());
  std::uint64_t count = 1;
  for (const hsize_t dim : dims) count *= dim;
  if (count > 0)
    Check(H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0, name.c_str());
}

// Contiguous, unfiltered.
void WriteColumn(hid_t file, const std::string& name, hid_t type, const Dims& dims,
                 const void* values) {
  WriteDataset(file, name, type, dims, Properties(H5P_DATASET_CREATE).get(), values);
}

void WriteStrings(hid_t file, const char* name, const StringColumn& column) {
  WriteColumn(file, shard::Offsets(name), H5T_STD_U64LE, {column.offsets.size()},
              column.offsets.data());
  WriteColumn(file, shard::Bytes(name), H5T_STD_U8LE, {column.bytes.size()}, column.bytes.data());
}

// One record a chunk, deflated; `shuffle` splits the bytes of 16-bit pixels first.
void WriteImages(hid_t file, const char* name, hid_t type, std::int64_t rows,
                 const ShardShape& shape, bool shuffle, const void* values) {
  const auto side = static_cast<hsize_t>(shape.stored_size);
  const auto channels = static_cast<hsize_t>(shape.channels);
  const Hdf5Handle creation = Properties(H5P_DATASET_CREATE);
  const hsize_t chunk[4] = {1, side, side, channels};
  Check(H5Pset_chunk(creation.get(), 4, chunk) >= 0, name);
  if (shuffle) Check(H5Pset_shuffle(creation.get()) >= 0, name);
  Check(H5Pset_deflate(creation.get(), kDeflateLevel) >= 0, name);
  WriteDataset(file, name, type, {static_cast<hsize_t>(rows), side, side, channels}, creation.get(),
               values);
}

void WriteAttribute(hid_t file, const char* name, std::int64_t value) {
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Handle attribute(
      H5Acreate2(file, name, H5T_STD_I64LE, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  Check(attribute.ok() && H5Awrite(attribute.get(), H5T_STD_I64LE, &value) >= 0, name);
}

void WriteFormatAttribute(hid_t file) {
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  Check(H5Tset_size(type.get(), sizeof(kShardFormat)) >= 0, shard::kFormat);
  const Hdf5Handle attribute(
      H5Acreate2(file, shard::kFormat, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT),
      H5Aclose);
  Check(attribute.ok() && H5Awrite(attribute.get(), type.get(), kShardFormat) >= 0, shard::kFormat);
}

template <typename T>
void Append(std::vector<T>& out, const std::vector<T>& values) {
  out.insert(out.end(), values.begin(), values.end());
}

}  // namespace

void ShardBuilder::CheckShape(const Record& record) const {
  const Image& image = record.image;
  const auto pixels = static_cast<std::size_t>(shape_.stored_size) * shape_.stored_size *
                      static_cast<std::size_t>(shape_.channels);
  Invariant(image.width == shape_.stored_size && image.height == shape_.stored_size &&
                image.channels == shape_.channels,
            "record ", record.image_id, " has an image of ", image.width, " x ", image.height,
            " x ", image.channels, " in a data set of side ", shape_.stored_size, " and ",
            shape_.channels, " channels");
  Invariant(image.u8.size() + image.u16.size() == pixels && (image.u8.empty() || image.u16.empty()),
            "record ", record.image_id, " has a wrong number of pixels");
  Invariant(record.region_labels.size() == static_cast<std::size_t>(kRegions * shape_.findings) &&
                record.image_labels.size() == static_cast<std::size_t>(shape_.image_labels),
            "record ", record.image_id, " has ", record.region_labels.size(), " region labels and ",
            record.image_labels.size(), " image labels, other than the records before it");
  for (const std::vector<Sentence>& sentences : record.sentences) {
    for (const Sentence& sentence : sentences) {
      Invariant(shape_.Holds(sentence.finding) && IsPolarity(sentence.polarity), "record ",
                record.image_id, " has a sentence about finding ", sentence.finding, " of ",
                shape_.findings, " with polarity ", static_cast<int>(sentence.polarity));
    }
  }
}

void ShardBuilder::Add(const Record& record) {
  CheckShape(record);
  const Image& image = record.image;
  image_row_.push_back(image.deep() ? -1 - u16_rows_++ : u8_rows_++);
  Append(u8_, image.u8);
  Append(u16_, image.u16);
  crc_.push_back(RecordCrc(record));
  splits_.push_back(record.split);
  view_.push_back(static_cast<std::uint8_t>(record.view));
  const Geometry& geometry = record.geometry;
  for (const int value :
       {geometry.original_width, geometry.original_height, geometry.pad_left, geometry.pad_top})
    geometry_.push_back(value);
  scale_.push_back(geometry.scale);
  report_hash_.push_back(record.report_hash);
  boxes_.insert(boxes_.end(), record.boxes.begin(), record.boxes.end());
  box_valid_.insert(box_valid_.end(), record.box_valid.begin(), record.box_valid.end());
  Append(region_labels_, record.region_labels);
  region_abnormal_.insert(region_abnormal_.end(), record.region_abnormal.begin(),
                          record.region_abnormal.end());
  Append(image_labels_, record.image_labels);
  for (int region = 0; region < kRegions; ++region) {
    for (const Sentence& sentence : record.sentences[region]) {
      sentence_region_.push_back(static_cast<std::uint8_t>(region));
      sentence_finding_.push_back(sentence.finding);
      sentence_polarity_.push_back(sentence.polarity);
      sentence_text_.Add(sentence.text);
    }
  }
  sentence_first_.push_back(sentence_region_.size());
  image_id_.Add(record.image_id);
  study_id_.Add(record.study_id);
  patient_id_.Add(record.patient_id);
  report_.Add(record.report);
}

std::string ShardBuilder::Build() const {
  std::string bytes;
  const Hdf5Session session;
  {
    const Hdf5Handle file = CreateFile(&bytes);
    WriteAttributes(file.get());
    WriteColumns(file.get());
    Check(H5Fflush(file.get(), H5F_SCOPE_GLOBAL) >= 0, "flush");
  }
  Check(!bytes.empty(), "content");
  return bytes;
}

void ShardBuilder::WriteAttributes(std::int64_t file) const {
  WriteFormatAttribute(file);
  WriteAttribute(file, shard::kVersion, kSchemaVersion);
  WriteAttribute(file, shard::kRecords, records());
  WriteAttribute(file, shard::kStoredSize, shape_.stored_size);
  WriteAttribute(file, shard::kChannels, shape_.channels);
  WriteAttribute(file, shard::kFindings, shape_.findings);
  WriteAttribute(file, shard::kImageLabels, shape_.image_labels);
}

void ShardBuilder::WriteColumns(std::int64_t file) const {
  WriteImages(file, shard::kImageU8, H5T_STD_U8LE, u8_rows_, shape_, false, u8_.data());
  WriteImages(file, shard::kImageU16, H5T_STD_U16LE, u16_rows_, shape_, true, u16_.data());

  const auto n = static_cast<hsize_t>(records());
  const hsize_t m = sentence_region_.size();
  const auto findings = static_cast<hsize_t>(shape_.findings);
  const auto labels = static_cast<hsize_t>(shape_.image_labels);
  WriteColumn(file, shard::kImageRow, H5T_STD_I64LE, {n}, image_row_.data());
  WriteColumn(file, shard::kCrc, H5T_STD_U32LE, {n}, crc_.data());
  WriteColumn(file, shard::kSplit, H5T_STD_U8LE, {n}, splits_.data());
  WriteColumn(file, shard::kView, H5T_STD_U8LE, {n}, view_.data());
  WriteColumn(file, shard::kGeometry, H5T_STD_I32LE, {n, 4}, geometry_.data());
  WriteColumn(file, shard::kScale, H5T_IEEE_F32LE, {n}, scale_.data());
  WriteColumn(file, shard::kReportHash, H5T_STD_U64LE, {n}, report_hash_.data());
  WriteColumn(file, shard::kBoxes, H5T_IEEE_F32LE, {n, kRegions, 4}, boxes_.data());
  WriteColumn(file, shard::kBoxValid, H5T_STD_U8LE, {n, kRegions}, box_valid_.data());
  WriteColumn(file, shard::kRegionLabels, H5T_STD_I8LE, {n, kRegions, findings},
              region_labels_.data());
  WriteColumn(file, shard::kRegionAbnormal, H5T_STD_I8LE, {n, kRegions}, region_abnormal_.data());
  WriteColumn(file, shard::kImageLabelRows, H5T_STD_I8LE, {n, labels}, image_labels_.data());
  WriteColumn(file, shard::kSentenceFirst, H5T_STD_U64LE, {n + 1}, sentence_first_.data());
  WriteColumn(file, shard::kSentenceRegion, H5T_STD_U8LE, {m}, sentence_region_.data());
  WriteColumn(file, shard::kSentenceFinding, H5T_STD_I16LE, {m}, sentence_finding_.data());
  WriteColumn(file, shard::kSentencePolarity, H5T_STD_I8LE, {m}, sentence_polarity_.data());
  WriteStrings(file, shard::kImageId, image_id_);
  WriteStrings(file, shard::kStudyId, study_id_);
  WriteStrings(file, shard::kPatientId, patient_id_);
  WriteStrings(file, shard::kReport, report_);
  WriteStrings(file, shard::kSentence, sentence_text_);
}

}  // namespace vesalius::data
