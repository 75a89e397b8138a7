// Writes shards as version 1 of the format was written (docs/formats.md), so that reading them
// stays tested.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "data/hdf5/hdf5_handle.h"
#include "data/record.h"
#include "data/shards/fingerprint.h"
#include "data/shards/shard_format.h"

namespace vesalius::data {
namespace shard_v1 {

using Dims = std::vector<hsize_t>;

// A column of strings: offsets and bytes.
struct StringColumn {
  std::vector<std::uint64_t> offsets{0};
  std::vector<char> bytes;
  void Add(const std::string& text) {
    bytes.insert(bytes.end(), text.begin(), text.end());
    offsets.push_back(bytes.size());
  }
};

inline void Check(bool ok, const char* what) { ASSERT_TRUE(ok) << what; }

inline void WriteDataset(hid_t file, const std::string& name, hid_t type, const Dims& dims,
                         hid_t creation, const void* values) {
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
inline void WriteColumn(hid_t file, const std::string& name, hid_t type, const Dims& dims,
                        const void* values) {
  WriteDataset(file, name, type, dims, Hdf5Handle(H5Pcreate(H5P_DATASET_CREATE), H5Pclose).get(),
               values);
}

inline void WriteStrings(hid_t file, const char* name, const StringColumn& column) {
  WriteColumn(file, shard::v1::Offsets(name), H5T_STD_U64LE, {column.offsets.size()},
              column.offsets.data());
  WriteColumn(file, shard::v1::Bytes(name), H5T_STD_U8LE, {column.bytes.size()},
              column.bytes.data());
}

// One record a chunk, deflated; `shuffle` splits the bytes of 16-bit pixels first.
inline void WriteImages(hid_t file, const char* name, hid_t type, std::int64_t rows,
                        const ShardShape& shape, bool shuffle, const void* values) {
  const auto side = static_cast<hsize_t>(shape.stored_size);
  const auto channels = static_cast<hsize_t>(shape.channels);
  const Hdf5Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  const hsize_t chunk[4] = {1, side, side, channels};
  Check(H5Pset_chunk(creation.get(), 4, chunk) >= 0, name);
  if (shuffle) Check(H5Pset_shuffle(creation.get()) >= 0, name);
  Check(H5Pset_deflate(creation.get(), 4) >= 0, name);
  WriteDataset(file, name, type, {static_cast<hsize_t>(rows), side, side, channels}, creation.get(),
               values);
}

inline void WriteAttribute(hid_t file, const char* name, std::int64_t value) {
  const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Hdf5Handle attribute(
      H5Acreate2(file, name, H5T_STD_I64LE, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  Check(attribute.ok() && H5Awrite(attribute.get(), H5T_STD_I64LE, &value) >= 0, name);
}

inline void WriteFormatAttribute(hid_t file) {
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

class Builder {
 public:
  explicit Builder(const ShardShape& shape) : shape_(shape) {}

  void Add(const Record& record) {
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

  void Write(const std::string& path) const {
    const Hdf5Session session;
    const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    H5Pset_libver_bounds(access.get(), H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    const Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()),
                          H5Fclose);
    WriteFormatAttribute(file.get());
    WriteAttribute(file.get(), shard::kVersion, 1);
    WriteAttribute(file.get(), shard::kRecords, records());
    WriteAttribute(file.get(), shard::kStoredSize, shape_.stored_size);
    WriteAttribute(file.get(), shard::kChannels, shape_.channels);
    WriteAttribute(file.get(), shard::kFindings, shape_.findings);
    WriteAttribute(file.get(), shard::kImageLabels, shape_.image_labels);
    WriteColumns(file.get());
  }

 private:
  std::int64_t records() const { return static_cast<std::int64_t>(splits_.size()); }
  void WriteColumns(hid_t file) const {
    WriteImages(file, shard::kImageU8, H5T_STD_U8LE, u8_rows_, shape_, false, u8_.data());
    WriteImages(file, shard::kImageU16, H5T_STD_U16LE, u16_rows_, shape_, true, u16_.data());

    const auto n = static_cast<hsize_t>(records());
    const hsize_t m = sentence_region_.size();
    const auto findings = static_cast<hsize_t>(shape_.findings);
    const auto labels = static_cast<hsize_t>(shape_.image_labels);
    WriteColumn(file, shard::v1::kImageRow, H5T_STD_I64LE, {n}, image_row_.data());
    WriteColumn(file, shard::v1::kCrc, H5T_STD_U32LE, {n}, crc_.data());
    WriteColumn(file, shard::v1::kSplit, H5T_STD_U8LE, {n}, splits_.data());
    WriteColumn(file, shard::v1::kView, H5T_STD_U8LE, {n}, view_.data());
    WriteColumn(file, shard::v1::kGeometry, H5T_STD_I32LE, {n, 4}, geometry_.data());
    WriteColumn(file, shard::v1::kScale, H5T_IEEE_F32LE, {n}, scale_.data());
    WriteColumn(file, shard::v1::kReportHash, H5T_STD_U64LE, {n}, report_hash_.data());
    WriteColumn(file, shard::v1::kBoxes, H5T_IEEE_F32LE, {n, kRegions, 4}, boxes_.data());
    WriteColumn(file, shard::v1::kBoxValid, H5T_STD_U8LE, {n, kRegions}, box_valid_.data());
    WriteColumn(file, shard::v1::kRegionLabels, H5T_STD_I8LE, {n, kRegions, findings},
                region_labels_.data());
    WriteColumn(file, shard::v1::kRegionAbnormal, H5T_STD_I8LE, {n, kRegions},
                region_abnormal_.data());
    WriteColumn(file, shard::v1::kImageLabelRows, H5T_STD_I8LE, {n, labels}, image_labels_.data());
    WriteColumn(file, shard::v1::kSentenceFirst, H5T_STD_U64LE, {n + 1}, sentence_first_.data());
    WriteColumn(file, shard::v1::kSentenceRegion, H5T_STD_U8LE, {m}, sentence_region_.data());
    WriteColumn(file, shard::v1::kSentenceFinding, H5T_STD_I16LE, {m}, sentence_finding_.data());
    WriteColumn(file, shard::v1::kSentencePolarity, H5T_STD_I8LE, {m}, sentence_polarity_.data());
    WriteStrings(file, shard::v1::kImageId, image_id_);
    WriteStrings(file, shard::v1::kStudyId, study_id_);
    WriteStrings(file, shard::v1::kPatientId, patient_id_);
    WriteStrings(file, shard::v1::kReport, report_);
    WriteStrings(file, shard::v1::kSentence, sentence_text_);
  }

  ShardShape shape_;
  std::vector<std::uint8_t> u8_;
  std::vector<std::uint16_t> u16_;
  std::int64_t u8_rows_ = 0, u16_rows_ = 0;
  std::vector<std::int64_t> image_row_;
  std::vector<std::uint32_t> crc_;
  std::vector<Split> splits_;
  std::vector<std::uint8_t> view_, box_valid_, sentence_region_;
  std::vector<std::int32_t> geometry_;
  std::vector<float> scale_;
  std::vector<Box> boxes_;
  std::vector<std::uint64_t> report_hash_, sentence_first_{0};
  std::vector<std::int8_t> region_labels_, region_abnormal_, image_labels_, sentence_polarity_;
  std::vector<std::int16_t> sentence_finding_;
  StringColumn image_id_, study_id_, patient_id_, report_, sentence_text_;
};

}  // namespace shard_v1
}  // namespace vesalius::data
