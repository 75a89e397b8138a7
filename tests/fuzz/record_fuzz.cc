// The records of a shard. The input is a list of changes to a good shard, four bytes each: which
// data set, where in it (two bytes), and what to write there. HDF5's own structures stay whole:
// what the HDF5 library makes of damaged ones is not ours to repair.
#include "base/file.h"
#include "data/hdf5/hdf5_handle.h"
#include "data/shards/shard_reader.h"
#include "data/shards/writer.h"
#include "tests/fuzz/fuzz.h"

namespace {

struct Span {
  std::size_t offset = 0, bytes = 0;
};

struct GoodShard {
  std::string content;
  std::vector<Span> spans;  // of its data sets, chunked ones left out
};

herr_t AddSpan(hid_t file, const char* name, const H5O_info_t* info, void* spans) {
  if (info->type != H5O_TYPE_DATASET) return 0;
  const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
  const haddr_t offset = H5Dget_offset(dataset);
  const hsize_t bytes = H5Dget_storage_size(dataset);
  if (offset != HADDR_UNDEF && bytes > 0)
    static_cast<std::vector<Span>*>(spans)->push_back({offset, bytes});
  H5Dclose(dataset);
  return 0;
}

GoodShard MakeShard() {
  const vesalius::ScratchFolder scratch;
  const std::string folder = scratch.path() + "/set";
  vesalius::data::DatasetWriter writer({folder, "fuzz", 8, 4});
  for (int i = 0; i < 4; ++i) {
    vesalius::data::Record record;
    record.image_id = vesalius::StrCat("image ", i);
    record.study_id = record.patient_id = vesalius::StrCat(i);
    record.image = {8, 8, 1, std::vector<std::uint8_t>(64, 7), {}};
    if (i == 3) record.image = {8, 8, 1, {}, std::vector<std::uint16_t>(64, 700)};
    record.report = "The heart is normal.";
    record.box_valid[i] = 1;
    record.boxes[i] = {0.5f, 0.5f, 0.25f, 0.25f};
    record.sentences[i] = {{"normal.", vesalius::data::kNormalStatement, 0}, {"a nodule.", 0, 1}};
    record.region_labels.assign(vesalius::data::kRegions, -1);
    record.image_labels = {1};
    writer.Add(record);
  }
  vesalius::data::Vocabulary vocabulary;
  vocabulary.findings = {{"nodule", {}}};
  vocabulary.can.assign(vesalius::data::kRegions, 1);
  vocabulary.image_labels = {"normal"};
  vocabulary.wordpieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]"};
  writer.Finish(vocabulary);

  const vesalius::data::Hdf5Session session;
  const std::string path = folder + "/shard-00000.h5";
  GoodShard shard{vesalius::ReadFile(path), {}};
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, AddSpan, &shard.spans, H5O_INFO_BASIC);
  H5Fclose(file);
  vesalius::fuzz::Check(!shard.spans.empty());
  return shard;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const GoodShard shard = MakeShard();
  std::string content = shard.content;
  for (std::size_t i = 0; i + 4 <= size; i += 4) {
    const Span& span = shard.spans[data[i] % shard.spans.size()];
    content[span.offset + (data[i + 1] | data[i + 2] << 8) % span.bytes] =
        static_cast<char>(data[i + 3]);
  }
  const vesalius::fuzz::MemoryFile file(content);
  vesalius::fuzz::Accepts([&] {
    const auto reader = vesalius::data::OpenShard(file.path());
    for (std::int64_t row = 0; row < reader->records(); ++row)
      vesalius::fuzz::Accepts([&] { reader->Read(row); });
  });
  return 0;
}
