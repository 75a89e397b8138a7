// Where the chunks of a data set lie, read from the file itself: object header -> layout message ->
// B-tree of version 1, what every HDF5 library writes unless told otherwise (HDF5 File Format
// Specification 3.0, IV.A.2.i, III.A.1). The library's own way, one chunk after another by number,
// takes time with the square of their number before HDF5 1.14.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "data/hdf5/array.h"
#include "data/hdf5/random_file.h"

namespace vesalius::data {

// Fills array.chunks from the object header at `header`, an absolute place in the file; `base`:
// where addresses count from (behind a user block). Nothing when the file uses another kind of
// index. Every step is bounded by the file's size and the grid; what contradicts them:
// Error(kInvalidData).
std::optional<std::vector<ChunkPlace>> ReadChunkTable(const RandomFile& file,
                                                      const Hdf5Array& array, std::uint64_t base,
                                                      std::uint64_t header);

// Chunks along each dimension.
std::vector<std::uint64_t> ChunkGrid(const Hdf5Array& array);

}  // namespace vesalius::data
