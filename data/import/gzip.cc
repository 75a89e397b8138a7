#include "data/import/gzip.h"

#include <libdeflate.h>

#include <algorithm>
#include <memory>

#include "base/error.h"

namespace vesalius::data {
namespace {

constexpr std::string_view kMagic = "\x1f\x8b";

// Decompresses the first member of `bytes` to the end of `out`; returns how many bytes it took.
std::size_t UnpackMember(libdeflate_decompressor* decompressor, std::string_view bytes,
                         const std::string& name, std::size_t most, std::string* out) {
  const std::size_t before = out->size();
  std::size_t room = std::min(most - before, std::max<std::size_t>(bytes.size() * 4, 1 << 16));
  for (;;) {
    out->resize(before + room);
    std::size_t taken = 0, made = 0;
    const libdeflate_result result = libdeflate_gzip_decompress_ex(
        decompressor, bytes.data(), bytes.size(), out->data() + before, room, &taken, &made);
    if (result == LIBDEFLATE_SUCCESS) {
      out->resize(before + made);
      return taken;
    }
    Require(result == LIBDEFLATE_INSUFFICIENT_SPACE, ExitCode::kInvalidData, name,
            " is damaged or cut off (gzip)");
    Require(room < most - before, ExitCode::kInvalidData, name, " unpacks to more than ", most,
            " bytes");
    room = std::min(most - before, room * 2);
  }
}

}  // namespace

std::string Gunzip(std::string_view bytes, const std::string& name, std::size_t most) {
  if (!bytes.starts_with(kMagic)) return std::string(bytes);
  const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> decompressor(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  Require(decompressor != nullptr, ExitCode::kBug, "no memory to unpack ", name);
  std::string out;
  while (bytes.starts_with(kMagic))
    bytes.remove_prefix(UnpackMember(decompressor.get(), bytes, name, most, &out));
  // Padding with zeros is allowed behind the last member.
  Require(bytes.find_first_not_of('\0') == std::string_view::npos, ExitCode::kInvalidData, name,
          " has something behind its compressed content");
  return out;
}

}  // namespace vesalius::data
