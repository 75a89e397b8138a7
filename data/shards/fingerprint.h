// Checksum of one record and fingerprint of a data set. Both go over the same bytes in the same
// order (docs/formats.md, "Canonical bytes of a record"), which depend on content alone: not on the
// compression, nor on how records are cut into shards.
#pragma once

#include <cstdint>
#include <string>

#include "base/hash.h"
#include "data/record.h"
#include "data/text/vocabulary.h"

namespace vesalius::data {

// CRC-32C of the record's canonical bytes.
std::uint32_t RecordCrc(const Record& record);

// The same without the image (step 3): what a record carries whose image is read in parts.
std::uint32_t FieldsCrc(const Record& record);

// Digest over everything that training can see: the records in their order, then the vocabulary.
class Fingerprint {
 public:
  void Add(const Record& record);
  std::string Finish(const Vocabulary& vocabulary);  // call once, last

 private:
  Digest digest_;
};

}  // namespace vesalius::data
