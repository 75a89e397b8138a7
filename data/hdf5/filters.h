// Undoes the filters of a stored chunk without the HDF5 library, on the calling thread: deflate (by
// libdeflate), shuffle, Fletcher-32, LZF (32000), LZ4 (32004) and Zstandard (32015).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "data/hdf5/array.h"

namespace vesalius::data {

// Empty when all filters of the array are known here, else what is not.
std::string UnknownFilter(const Hdf5Array& array);

// Memory that a thread keeps between chunks.
struct FilterScratch {
  std::vector<unsigned char> a, b;
};

// The array.chunk_bytes() bytes of a chunk in the file's byte order: `out`, of that size.
// Error(kInvalidData): damaged, or not of that size.
void DecodeChunk(const Hdf5Array& array, std::span<const unsigned char> stored,
                 std::uint32_t skipped, unsigned char* out, FilterScratch& scratch);

}  // namespace vesalius::data
