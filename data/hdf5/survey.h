// All data sets of an HDF5 file, described by the library once, with their chunks' places.
#pragma once

#include <string>
#include <vector>

#include "data/hdf5/array.h"
#include "data/hdf5/hdf5_handle.h"

namespace vesalius::data {

// Read only and without file locks, which some network file systems lack. Error(kInvalidData).
Hdf5Handle OpenHdf5(const std::string& path);

// Sorted by path. Links that lead nowhere are left out. Error(kInputMissing, kInvalidData).
std::vector<Hdf5Array> SurveyHdf5(const std::string& path);

// The type in memory of the array's elements, in this machine's byte order; only for kinds other
// than kOther.
hid_t NativeType(const ElementType& type);

}  // namespace vesalius::data
