// Random access to records. The way HDF5 is read hides behind this interface. Implementations are
// thread-safe: workers call Get() concurrently.
#pragma once

#include <memory>
#include <string>

#include "data/record.h"
#include "data/text/vocabulary.h"

namespace vesalius::data {

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;
  // Record `index` of [0, size). Unreadable or damaged: Error(kInvalidData) naming file and record.
  virtual Record Get(std::int64_t index) const = 0;
  virtual const Vocabulary& vocabulary() const = 0;
  // Hex digest over everything that training can see; equal for equal content.
  virtual const std::string& fingerprint() const = 0;
  virtual int stored_size() const = 0;  // side of the stored square, pixels
  virtual const std::string& path() const = 0;
};

// Opens the data set folder (manifest and shards) and keeps the records of one split, in the
// manifest's order. The manifest's own checksum, schema version, and each shard's presence and size
// are verified here, before training starts; a shard's bytes by VerifyDataset (`vesalius inspect`).
// Errors: kInputMissing, kInvalidData.
std::unique_ptr<Dataset> OpenDataset(const std::string& folder, Split split);

}  // namespace vesalius::data
