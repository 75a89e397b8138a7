// What `vesalius inspect` says of an HDF5 file that is no shard of ours.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace vesalius::data {

// Whether `path` is an HDF5 file without the mark of a shard.
bool IsForeignHdf5(const std::string& path);

// Root attributes, and of each data set: type, shape, layout, chunk, filters, stored bytes, and how
// it is read: by offset, by the HDF5 library (and why), or not at all (and why). With `values` also
// what it holds: SHA-256 of all values (little-endian, C order), least and greatest number, first
// strings; what cannot be read then says why. Errors: kInputMissing, kInvalidData (no HDF5 file).
nlohmann::json DescribeHdf5(const std::string& path, bool values);

}  // namespace vesalius::data
