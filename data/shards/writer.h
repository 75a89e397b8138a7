// Writes a data set folder: HDF5 shards, then the manifest last. Until Finish() nothing under the
// folder passes for a data set.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "data/record.h"
#include "data/text/vocabulary.h"

namespace vesalius::data {

struct WriterOptions {
  std::string folder;
  std::string source;  // what made it, e.g. "phantom" or "import pairs"
  int stored_size = 64;
  int records_per_shard = 2048;
};

class DatasetWriter {
 public:
  // Error(kCannotCreate) when the folder already holds a data set.
  explicit DatasetWriter(const WriterOptions& options);
  ~DatasetWriter();  // without Finish(): removes what was written
  void Add(const Record& record);
  // Writes the manifest with the vocabulary, checksums and fingerprint.
  void Finish(const Vocabulary& vocabulary);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vesalius::data
