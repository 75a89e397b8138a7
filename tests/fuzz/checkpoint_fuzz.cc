// The manifest of a checkpoint: bytes as they are, and as the body of a frame whose checksum is
// right, so that mutations get past it. What is accepted must come out the same once encoded.
#include <google/protobuf/stubs/logging.h>

#include "base/hash.h"
#include "checkpoints/manifest.h"
#include "tests/fuzz/fuzz.h"

namespace {

[[maybe_unused]] const auto kNoLog = google::protobuf::SetLogHandler(nullptr);  // of its complaints

template <typename T>
void Append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::string Framed(std::string_view body) {
  std::string bytes(vesalius::checkpoints::kManifestMagic);
  Append(&bytes, vesalius::checkpoints::kManifestVersion);
  Append(&bytes, static_cast<std::uint64_t>(body.size()));
  bytes += body;
  Append(&bytes, vesalius::Crc32c(bytes.data(), bytes.size()));
  return bytes;
}

void Decode(std::string_view bytes) {
  namespace checkpoints = vesalius::checkpoints;
  checkpoints::Manifest manifest;
  if (!vesalius::fuzz::Accepts([&] { manifest = checkpoints::DecodeManifest(bytes, "input"); }))
    return;
  const std::string once = checkpoints::EncodeManifest(manifest);
  vesalius::fuzz::Check(checkpoints::EncodeManifest(checkpoints::DecodeManifest(once, "again")) ==
                        once);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = vesalius::fuzz::Text(data, size);
  Decode(text);
  Decode(Framed(text));
  return 0;
}
