// A safetensors file: bytes as they are, and as the JSON header of a file with 64 bytes of data.
#include "checkpoints/safetensors.h"

#include "tests/fuzz/fuzz.h"

namespace {

void Read(std::string_view bytes) {
  const vesalius::fuzz::MemoryFile file(bytes);
  vesalius::fuzz::Accepts([&] {
    const vesalius::checkpoints::SafeTensorsFile tensors(file.path());
    std::size_t sum = 0;
    for (const auto& tensor : tensors.tensors())
      for (std::size_t i = 0; i < tensor.bytes; ++i)
        sum += static_cast<const std::uint8_t*>(tensor.data)[i];  // every view lies in the file
    vesalius::fuzz::Check(sum <= 255 * bytes.size());
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = vesalius::fuzz::Text(data, size);
  Read(text);
  const std::uint64_t length = size;
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof(length));
  bytes += text;
  bytes.append(64, '\1');
  Read(bytes);
  return 0;
}
