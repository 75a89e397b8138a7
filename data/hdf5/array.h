// What is known of one data set of an HDF5 file (HDF5 File Format Specification 3.0): enough to
// read it without the library where it is stored in one of the usual ways.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace vesalius::data {

// A part of a file.
struct ByteRange {
  std::uint64_t offset = 0, bytes = 0;
};

// kBytes: fixed strings, compounds and the like, given as they are stored; kText: strings of
// variable length, which only ReadStrings() reads; kOther is not read.
struct ElementType {
  enum class Kind : std::uint8_t { kUnsigned, kSigned, kFloat, kBytes, kText, kOther };
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
  bool plain_edges = false;                     // chunks that reach over the edge: no filter
  std::string indirect;                         // not empty: why only the library can read it

  bool null = false;  // a null data space: no element, no shape

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

// Chunks along each dimension.
std::vector<std::uint64_t> ChunkGrid(const Hdf5Array& array);

// All that is known of a file.
struct Hdf5Contents {
  std::vector<Hdf5Array> arrays;                  // by path
  std::map<std::string, std::string> attributes;  // of the root group: strings and whole numbers
  std::vector<ByteRange> headers;  // superblock, object headers, chunk tables: the first 256 KiB
};

// Whether `contents` can be used without reaching outside a file of `file_bytes` or the arrays
// themselves, whatever it holds; "" or what is wrong.
std::string Inconsistency(const Hdf5Contents& contents, std::uint64_t file_bytes);

}  // namespace vesalius::data
