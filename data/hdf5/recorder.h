// A driver of the HDF5 library (its "virtual file layer") that serves metadata from the file and
// notes where it came from, and that does not read values at all but notes which bytes the library
// asked for. With it the library itself walks every kind of chunk table that it knows, at a few
// microseconds a chunk. (H5Dget_chunk_info of HDF5 1.10 starts from the first chunk at every call:
// a minute for 32,000 chunks.)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/hdf5/array.h"
#include "data/hdf5/hdf5_handle.h"

namespace vesalius::data {

// Hold an Hdf5Session while using one.
class Recorder {
 public:
  // Opens `path` for reading. Check ok().
  explicit Recorder(const std::string& path);

  bool ok() const { return file_.ok(); }
  hid_t file() const { return file_.get(); }

  // While `skip`, values are asked for but not read: buffers stay as they are.
  void SkipValues(bool skip);
  // The range of the values that were asked for last, if any since the last call.
  bool TakeLastValues(ByteRange* range);
  // Where metadata was read, in the order of reading.
  const std::vector<ByteRange>& metadata() const;

 private:
  Hdf5Handle file_;
  void* recorded_ = nullptr;  // the driver's side of the open file
};

}  // namespace vesalius::data
