// Random access to records, one by one or a batch at a time. The way HDF5 is read hides behind this
// interface. Implementations are thread-safe: workers call Get() and Fetch() concurrently.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "data/fetched.h"
#include "data/record.h"
#include "data/text/vocabulary.h"

namespace vesalius::data {

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;
  // Record `index` of [0, size). Unreadable or damaged: Error(kInvalidData) naming file and record.
  virtual Record Get(std::int64_t index) const = 0;
  // Reads what all `requests` need (a batch, in any order, repeats allowed), so that a store can
  // sort and merge its reads. Windows reach no further than the stored square. The result needs
  // this data set to live on. Default: Decode() calls Get() and cuts the window out.
  virtual std::unique_ptr<Fetched> Fetch(std::span<const SampleRequest> requests) const;
  // The report of record `index` alone; the record is not verified. Default: that of Get(index).
  virtual std::string Report(std::int64_t index) const;
  virtual const Vocabulary& vocabulary() const = 0;
  // Hex digest over everything that training can see; equal for equal content.
  virtual const std::string& fingerprint() const = 0;
  virtual int stored_size() const = 0;  // side of the stored square, pixels
  virtual const std::string& path() const = 0;
};

// Opens the data set folder (manifest and shards) and keeps the records of one split, in the
// manifest's order. Checksum and version of the manifest, each shard's presence and size, a random
// thousandth of the chunks are checked here; all bytes by VerifyDataset (`vesalius inspect`).
// Errors: kInputMissing, kInvalidData.
std::unique_ptr<Dataset> OpenDataset(const std::string& folder, Split split);

}  // namespace vesalius::data
