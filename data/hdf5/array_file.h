// Reads data sets of an HDF5 file by offset, outside the library and its lock: any number of
// threads read, decode and assemble at once. What is stored in an unusual way is read by the
// library, one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/hdf5/array.h"
#include "data/hdf5/random_file.h"

namespace vesalius::data {

using Extents = std::span<const std::uint64_t>;

// Parts of one file in memory, read in few large pieces. Immutable, thread-safe.
class Prefetched {
 public:
  // Sorted, and joined where gaps are below 64 KiB. What cannot be read is left out, so that only
  // those who need it meet the error.
  Prefetched(const RandomFile& file, std::vector<ByteRange> ranges);
  // The bytes of a range, or an empty span where it was not read.
  std::span<const unsigned char> Find(const ByteRange& range) const;

 private:
  struct Piece {
    std::uint64_t offset, size;
    std::unique_ptr<unsigned char[]> bytes;
  };
  std::vector<Piece> pieces_;  // by offset
};

// Thread-safe after construction. Errors: kInputMissing; kInvalidData naming file and data set.
class ArrayFile {
 public:
  explicit ArrayFile(const std::string& path);  // uses the index, or makes it
  ~ArrayFile();

  const RandomFile& file() const { return file_; }
  const std::vector<Hdf5Array>& arrays() const { return contents_.arrays; }
  const std::map<std::string, std::string>& attributes() const { return contents_.attributes; }
  const Hdf5Array* Find(const std::string& path) const;  // "/name"; null when there is none

  // The stored parts that hold the box [start, start + count); none where the library must read.
  std::vector<ByteRange> Places(const Hdf5Array& array, Extents start, Extents count) const;

  // The values of the box in C order and this machine's byte order, to `out`. Parts that
  // `ahead` holds are not read again. Elements of kind kText and kOther are refused with their
  // type's name.
  void Read(const Hdf5Array& array, Extents start, Extents count, void* out,
            const Prefetched* ahead = nullptr) const;
  // All values.
  std::vector<unsigned char> ReadAll(const Hdf5Array& array) const;

  // All values of an array of strings, of fixed or variable length, without padding.
  std::vector<std::string> ReadStrings(const Hdf5Array& array) const;

  // Compares about one in `every` chunks of each array, picked by `seed`, with what the library
  // reads; a difference is Error(kInvalidData). Returns how many were compared. Arrays that the
  // library cannot decode (LZ4, Zstandard without its plug-in) are left out.
  std::int64_t Audit(std::uint64_t every, std::uint64_t seed) const;

 private:
  struct Library;
  std::span<const unsigned char> Stored(const ByteRange& range, const Prefetched* ahead,
                                        std::vector<unsigned char>& scratch) const;
  void ReadChunks(const Hdf5Array& array, Extents start, Extents count, unsigned char* out,
                  const Prefetched* ahead) const;

  RandomFile file_;
  Hdf5Contents contents_;
  std::unique_ptr<Library> library_;
};

}  // namespace vesalius::data
