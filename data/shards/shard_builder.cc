#include "data/shards/shard_builder.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "data/hdf5/hdf5_handle.h"
#include "data/shards/fingerprint.h"
#include "data/shards/shard_row.h"
#include "data/shards/tile_plan.h"

namespace vesalius::data {
namespace {

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

// The library's names of the types of members.
hid_t StoredType(const std::uint8_t*) { return H5T_STD_U8LE; }
hid_t StoredType(const std::int8_t*) { return H5T_STD_I8LE; }
hid_t StoredType(const std::int16_t*) { return H5T_STD_I16LE; }
hid_t StoredType(const std::int32_t*) { return H5T_STD_I32LE; }
hid_t StoredType(const std::uint32_t*) { return H5T_STD_U32LE; }
hid_t StoredType(const std::int64_t*) { return H5T_STD_I64LE; }
hid_t StoredType(const std::uint64_t*) { return H5T_STD_U64LE; }
hid_t StoredType(const float*) { return H5T_IEEE_F32LE; }

// A packed compound type of the members that `visit_all` visits.
template <typename VisitAll>
Hdf5Handle RowType(const VisitAll& visit_all) {
  std::size_t size = 0;
  visit_all(
      [&](const char*, auto* values, RowDims dims) { size += RowCount(dims) * sizeof(*values); });
  Hdf5Handle type(H5Tcreate(H5T_COMPOUND, size), H5Tclose);
  std::size_t offset = 0;
  visit_all([&](const char* name, auto* values, RowDims dims) {
    const Dims extent(dims.begin(), dims.end());
    const Hdf5Handle member(
        extent.empty() ? H5Tcopy(StoredType(values))
                       : H5Tarray_create2(StoredType(values), static_cast<unsigned>(extent.size()),
                                          extent.data()),
        H5Tclose);
    Check(H5Tinsert(type.get(), name, offset, member.get()) >= 0, name);
    offset += RowCount(dims) * sizeof(*values);
  });
  return type;
}

// Appends the members' bytes.
auto AppendTo(std::string& out) {
  return [&out](const char*, const auto* values, RowDims dims) {
    out.append(reinterpret_cast<const char*>(values), RowCount(dims) * sizeof(*values));
  };
}

Hdf5Handle CreateDataset(hid_t file, const char* name, hid_t type, const Dims& dims,
                         hid_t creation) {
  const Hdf5Handle space(H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr),
                         H5Sclose);
  Check(H5Pset_obj_track_times(creation, false) >= 0, "times");
  Hdf5Handle dataset(H5Dcreate2(file, name, type, space.get(), H5P_DEFAULT, creation, H5P_DEFAULT),
                     H5Dclose);
  Check(dataset.ok(), name);
  return dataset;
}

// Contiguous, unfiltered.
void WriteTable(hid_t file, const char* name, hid_t type, const std::string& rows) {
  const Hdf5Handle creation = Properties(H5P_DATASET_CREATE);
  const Hdf5Handle dataset =
      CreateDataset(file, name, type, {rows.size() / H5Tget_size(type)}, creation.get());
  if (!rows.empty())
    Check(H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows.data()) >= 0, name);
}

// Tiles and filters as the images ask for (tile_plan.h); encoded here, stored by the library.
void WriteImages(hid_t file, const char* name, hid_t type, const ImageBlock& block) {
  const TilePlan plan = ChooseTiles(block);
  const auto side = static_cast<hsize_t>(block.side), tile = static_cast<hsize_t>(plan.tile);
  const auto channels = static_cast<hsize_t>(block.channels);
  const Hdf5Handle creation = Properties(H5P_DATASET_CREATE);
  const hsize_t chunk[4] = {1, tile, tile, channels};
  Check(H5Pset_chunk(creation.get(), 4, chunk) >= 0, name);
  if (plan.filters.shuffle) Check(H5Pset_shuffle(creation.get()) >= 0, name);
  if (plan.filters.deflate) Check(H5Pset_deflate(creation.get(), kDeflateLevel) >= 0, name);
  Check(H5Pset_fletcher32(creation.get()) >= 0, name);
  const Hdf5Handle dataset = CreateDataset(
      file, name, type, {static_cast<hsize_t>(block.rows), side, side, channels}, creation.get());
  for (std::int64_t row = 0; row < block.rows; ++row) {
    for (hsize_t y = 0; y * tile < side; ++y) {
      for (hsize_t x = 0; x * tile < side; ++x) {
        const std::string stored =
            EncodeTile(block, plan, row, static_cast<int>(y), static_cast<int>(x));
        const hsize_t at[4] = {static_cast<hsize_t>(row), y * tile, x * tile, 0};
        Check(H5Dwrite_chunk(dataset.get(), H5P_DEFAULT, 0, at, stored.size(), stored.data()) >= 0,
              name);
      }
    }
  }
}

template <typename T>
ImageBlock BlockOf(const std::vector<T>& pixels, std::int64_t rows, const ShardShape& shape) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(pixels.data());
  return {{bytes, pixels.size() * sizeof(T)}, rows, shape.stored_size, shape.channels, sizeof(T)};
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
  Append(u8_, image.u8);
  Append(u16_, image.u16);
  splits_.push_back(record.split);
  ShardRow row;
  row.image_row = image.deep() ? -1 - u16_rows_++ : u8_rows_++;
  row.crc32c = FieldsCrc(record);
  row.text = text_.size();
  row.sentence = sentences_;
  const auto add_text = [&](const std::string& text) {
    text_ += text;
    return static_cast<std::uint32_t>(text.size());
  };
  row.image_id = add_text(record.image_id);
  row.study_id = add_text(record.study_id);
  row.patient_id = add_text(record.patient_id);
  row.report = add_text(record.report);
  for (int region = 0; region < kRegions; ++region) {
    for (const Sentence& sentence : record.sentences[region]) {
      const SentenceRow stored{static_cast<std::uint8_t>(region), sentence.finding,
                               sentence.polarity, add_text(sentence.text)};
      VisitSentence(stored, AppendTo(sentence_rows_));
      ++row.sentences;
    }
  }
  sentences_ += row.sentences;
  row.text_bytes = static_cast<std::uint32_t>(text_.size() - row.text);
  VisitRow(row, record, shape_, AppendTo(rows_));
}

std::string ShardBuilder::Build() const {
  std::string bytes;
  const Hdf5Session session;
  {
    const Hdf5Handle file = CreateFile(&bytes);
    WriteAttributes(file.get());
    WriteRows(file.get());
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

void ShardBuilder::WriteRows(std::int64_t file) const {
  WriteImages(file, shard::kImageU8, H5T_STD_U8LE, BlockOf(u8_, u8_rows_, shape_));
  WriteImages(file, shard::kImageU16, H5T_STD_U16LE, BlockOf(u16_, u16_rows_, shape_));
  const Hdf5Handle record_type = RowType([&](const auto& visit) {
    ShardRow row;
    Record record;
    VisitRow(row, record, shape_, visit);
  });
  const Hdf5Handle sentence_type = RowType([&](const auto& visit) {
    SentenceRow row;
    VisitSentence(row, visit);
  });
  WriteTable(file, shard::kRecord, record_type.get(), rows_);
  WriteTable(file, shard::kSentence, sentence_type.get(), sentence_rows_);
  WriteTable(file, shard::kText, H5T_STD_U8LE, text_);
}

}  // namespace vesalius::data
