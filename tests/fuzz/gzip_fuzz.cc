// Compressed tables: never more content than was allowed.
#include "data/import/gzip.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kMost = 1 << 20;
  const std::string_view bytes = vesalius::fuzz::Text(data, size);
  std::string out;
  if (vesalius::fuzz::Accepts([&] { out = vesalius::data::Gunzip(bytes, "input", kMost); }))
    vesalius::fuzz::Check(out.size() <= kMost || out == bytes);
  return 0;
}
