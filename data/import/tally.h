// Puts the parts of an import together: the counts of its table, the fingerprint, and what may not
// be in several splits at once.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "data/import/importer.h"
#include "data/import/parts.h"
#include "data/shards/fingerprint.h"
#include "data/shards/manifest.h"

namespace vesalius::data {

class Tally {
 public:
  // Parts in their order.
  void Add(Part part);

  const ImportReport& report() const { return report_; }
  // The manifest of what was added. Call once, last.
  Manifest Finish(const Vocabulary& vocabulary);
  // The report, with the leaks counted and warned of. Call once, last.
  ImportReport Report();

 private:
  // For one patient, report or image: the splits that have it, as bits, and the first record.
  struct Seen {
    std::uint8_t splits = 0;
    std::string first;
  };
  template <typename Key>
  using Index = std::unordered_map<Key, Seen>;

  template <typename Key>
  static bool See(Index<Key>* index, const Key& key, Split split, const std::string& image);
  template <typename Key>
  static std::int64_t Leaks(const Index<Key>& index, const char* what, const char* remedy);

  ImportReport report_;
  Manifest manifest_;
  Fingerprint fingerprint_;
  Index<std::string> patients_;
  Index<std::uint64_t> reports_, images_;
};

}  // namespace vesalius::data
