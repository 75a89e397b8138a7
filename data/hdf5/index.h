// The index of an HDF5 file: its data sets and where their chunks lie, made once and kept beside
// the file (FILE.vidx), or in the user's cache where the folder is read-only, or in memory alone. A
// kept index counts only while size, time of change and a hash of the headers are the file's own;
// otherwise it is made anew.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/hdf5/array.h"
#include "data/hdf5/random_file.h"

namespace vesalius::data {

// Errors: kInvalidData where the file is damaged.
Hdf5Contents ReadIndex(const RandomFile& file);

// The same out of a kept index; false when it is none, damaged, or of another state of the file.
// Work and memory are bounded by the sizes of `bytes` and of the file.
bool ParseIndex(const std::string& bytes, const RandomFile& file, Hdf5Contents& contents);
// The Protobuf message in it, without magic and checksum.
bool ParseIndexPayload(std::string_view bytes, const RandomFile& file, Hdf5Contents& contents);

// Where the index of `path` may lie, in the order of preference.
std::vector<std::string> IndexPaths(const std::string& path);

}  // namespace vesalius::data
