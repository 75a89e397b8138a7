// The manifest of a data set: bytes as they are, and as the payload of an envelope whose checksum
// is right, so that mutations get past it.

#include <google/protobuf/stubs/logging.h>

#include "base/hash.h"
#include "data/shards/manifest.h"
#include "data/shards/shard_format.h"
#include "tests/fuzz/fuzz.h"

namespace {

[[maybe_unused]] const auto kNoLog = google::protobuf::SetLogHandler(nullptr);  // of its complaints

using vesalius::fuzz::MemoryFile;

template <typename T>
void Append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::string Enveloped(std::string_view payload) {
  std::string bytes = "VESALDS\n";
  Append(&bytes, static_cast<std::uint32_t>(vesalius::data::kSchemaVersion));
  Append(&bytes, static_cast<std::uint64_t>(payload.size()));
  bytes += payload;
  Append(&bytes, vesalius::Crc32c(bytes.data(), bytes.size()));
  return bytes;
}

void Read(std::string_view bytes) {
  const MemoryFile file(bytes);
  vesalius::data::Manifest manifest;
  if (!vesalius::fuzz::Accepts([&] { manifest = vesalius::data::ReadManifest(file.path()); }))
    return;
  std::int64_t records = 0;
  for (const auto& shard : manifest.shards) records += shard.records;
  vesalius::fuzz::Check(records == manifest.records());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = vesalius::fuzz::Text(data, size);
  Read(text);
  Read(Enveloped(text));
  return 0;
}
