// All data sets of an HDF5 file, described by the library once, with their chunks' places.
#pragma once

#include <string>

#include "data/hdf5/array.h"
#include "data/hdf5/hdf5_handle.h"

namespace vesalius::data {

// Read only and without file locks, which some network file systems lack. Error(kInvalidData).
Hdf5Handle OpenHdf5(const std::string& path);

// Links that lead nowhere are left out. About 10 us a chunk. Error(kInputMissing, kInvalidData).
Hdf5Contents SurveyHdf5(const std::string& path);

// What the library calls a type. Hold an Hdf5Session.
ElementType TypeOf(hid_t stored);

// The type in memory of numbers, in this machine's byte order.
hid_t NativeType(const ElementType& type);

}  // namespace vesalius::data
