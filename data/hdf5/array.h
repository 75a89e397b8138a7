// What is known of one data set of an HDF5 file (HDF5 File Format Specification 3.0): enough to
// read it without the library where it is stored in one of the usual ways.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vesalius::data {

struct ElementType {
  enum class Kind : std::uint8_t { kUnsigned, kSigned, kFloat, kOther };
  Kind kind = Kind::kOther;
  std::uint32_t bytes = 0;
  bool big_endian = false;
  std::string name;  // for people: "uint16", "big-endian float32", "variable-length string"
};

struct FilterStep {
  std::int32_t id = 0;                // of the registry of HDF5 filters
  std::vector<std::uint32_t> values;  // its client data
};

// Where a chunk lies. Chunks that were never written have no place: they are all fill value.
struct ChunkPlace {  // 24 bytes, stored as they are in an index
  static constexpr std::uint64_t kNowhere = ~std::uint64_t{0};
  std::uint64_t offset = kNowhere, bytes = 0;
  std::uint32_t skipped = 0;  // bit i: filter i was not applied
  std::uint32_t padding = 0;
};

enum class ArrayLayout : std::uint8_t { kContiguous, kCompact, kChunked, kElsewhere };

struct Hdf5Array {
  std::string path;  // "/group/name"
  ElementType type;
  std::vector<std::uint64_t> shape;  // {} is a scalar
  ArrayLayout layout = ArrayLayout::kElsewhere;
  std::uint64_t offset = ChunkPlace::kNowhere;  // contiguous: in the file
  std::string compact;                          // compact: the values themselves
  std::vector<std::uint64_t> chunk;             // chunked: shape of a chunk
  std::vector<FilterStep> filters;              // in the order of writing
  std::vector<ChunkPlace> chunks;               // in C order of the grid of chunks
  std::string fill;                             // one element as stored; zeros by default
  std::uint64_t header = ChunkPlace::kNowhere;  // where its object header begins
  std::string indirect;                         // not empty: why only the library can read it

  bool direct() const { return indirect.empty(); }
  std::uint64_t elements() const {
    std::uint64_t n = 1;
    for (const std::uint64_t dim : shape) n *= dim;
    return n;
  }
  std::uint64_t bytes() const { return elements() * type.bytes; }
  std::uint64_t chunk_bytes() const {
    std::uint64_t n = type.bytes;
    for (const std::uint64_t dim : chunk) n *= dim;
    return n;
  }
};

}  // namespace vesalius::data
