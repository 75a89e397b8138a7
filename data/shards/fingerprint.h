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

// 32 hexadecimal digits: XXH3-128 of the record's canonical bytes.
std::string RecordDigest(const Record& record);

// Digest over everything that training can see: the records' digests in their order, then the
// vocabulary. Parts of a data set that several processes write can so be put together.
class Fingerprint {
 public:
  void Add(const Record& record) { AddDigest(RecordDigest(record)); }
  void AddDigest(const std::string& record_digest) { digest_.Add(std::string_view(record_digest)); }
  std::string Finish(const Vocabulary& vocabulary);  // call once, last

 private:
  Digest digest_;
};

// The same over the records' canonical bytes one after the other: what data sets carry that were
// written before records had digests of their own.
class StreamedFingerprint {
 public:
  void Add(const Record& record);
  std::string Finish(const Vocabulary& vocabulary);  // call once, last

 private:
  Digest digest_;
};

}  // namespace vesalius::data
