// The manifest of a data set folder: what it holds, in which files, with which checksums. It is
// written last and atomically: a folder without one is no data set. Stored as `manifest.pb`
// (data/shards/manifest.proto inside a checksummed envelope, docs/formats.md).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/record.h"
#include "data/text/vocabulary.h"

namespace vesalius::data {

inline constexpr char kManifestName[] = "manifest.pb";

struct ShardEntry {
  std::string file;  // name inside the folder
  std::int64_t records = 0;
  std::uint64_t bytes = 0;    // size of the file
  std::uint32_t crc32c = 0;   // of all its bytes
  std::vector<Split> splits;  // [records]
};

struct Manifest {
  std::string source;
  std::string fingerprint;
  int stored_size = 0;
  int channels = 1;
  std::array<std::int64_t, 3> split_counts{};  // by Split
  Vocabulary vocabulary;
  std::vector<ShardEntry> shards;

  std::int64_t records() const { return split_counts[0] + split_counts[1] + split_counts[2]; }
};

// The path of the manifest in `folder`.
std::string ManifestPath(const std::string& folder);

// Whether the file begins like a manifest.
bool IsManifest(const std::string& path);

// Reads and checks checksum, schema version, region names and that the counts agree with each
// other. Errors: kInputMissing, kInvalidData, naming the file and what to do.
Manifest ReadManifest(const std::string& path);

// Atomic. Error(kCannotCreate).
void WriteManifest(const std::string& path, const Manifest& manifest);

}  // namespace vesalius::data
