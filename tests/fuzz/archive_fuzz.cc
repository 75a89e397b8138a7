// Tar archives: no file has more bytes than the archive can hold.
#include "data/import/archive.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const vesalius::fuzz::MemoryFile file(vesalius::fuzz::Text(data, size));
  vesalius::fuzz::Accepts([&] {
    vesalius::data::ReadTar(
        file.path(), [](const std::string& name) { return name.size() % 2 == 0; },
        [&](const std::string&, const std::string& bytes) {
          vesalius::fuzz::Check(bytes.size() <= 1100 * size);  // what gzip can make of them
        });
  });
  return 0;
}
