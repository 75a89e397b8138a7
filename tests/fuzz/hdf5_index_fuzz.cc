// The index of an HDF5 file, as the message in it (its checksum, size, time and, for half of the
// inputs, hash of headers being right): whatever it says, reading by it stays within the file.
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <vector>

#include "base/hash.h"
#include "data/hdf5/array_file.h"
#include "data/hdf5/index.h"
#include "data/hdf5/index.pb.h"
#include "tests/fuzz/fuzz.h"

namespace {

[[maybe_unused]] const auto kNoLog = google::protobuf::SetLogHandler(nullptr);  // of its complaints

using vesalius::data::ArrayFile;
using vesalius::data::Hdf5Array;
using vesalius::data::Hdf5Contents;

constexpr std::uint64_t kMostBytes = 1 << 20;  // of a box or chunk that is read

// Some bytes to point into.
std::string Content() {
  std::string bytes;
  for (std::uint64_t i = 0; i < 512; ++i) {
    const std::uint64_t value = vesalius::Mix64(i / 8);
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return bytes;
}

void ReadSome(const ArrayFile& file, const Hdf5Array& array) {
  if (!array.direct() || array.null) return;
  if (array.layout == vesalius::data::ArrayLayout::kChunked && array.chunk_bytes() > kMostBytes)
    return;
  std::vector<std::uint64_t> start(array.shape.size(), 0), count;
  std::uint64_t bytes = array.type.bytes;
  for (std::size_t d = 0; d < start.size(); ++d) {
    if (array.shape[d] == 0) return;
    count.push_back(std::min<std::uint64_t>(array.shape[d], 5));
    start[d] = (array.shape[d] - count[d]) / 2;
    if (bytes > kMostBytes) return;
    bytes *= count[d];
  }
  if (bytes > kMostBytes) return;
  std::vector<unsigned char> out(bytes);
  vesalius::fuzz::Accepts([&] { file.Read(array, start, count, out.data()); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const vesalius::fuzz::MemoryFile memory(Content());
  static const vesalius::data::RandomFile file(memory.path());
  vesalius::data::pb::Hdf5Index index;
  if (!index.ParseFromArray(data, static_cast<int>(size))) return 0;
  index.set_file_bytes(file.size());
  index.set_modified_ns(file.modified_ns());
  if (size % 2 == 0) {
    index.clear_header_offsets();
    index.clear_header_bytes();
    index.set_header_hash(vesalius::Hash64(""));
  }
  Hdf5Contents contents;
  if (!vesalius::data::ParseIndexPayload(index.SerializeAsString(), file, contents)) return 0;
  const ArrayFile arrays(memory.path(), contents);
  for (const Hdf5Array& array : arrays.arrays()) ReadSome(arrays, array);
  return 0;
}
