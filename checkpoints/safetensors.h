// The safetensors file format (8-byte little-endian header length, JSON header, raw data): reader
// and writer. No torch.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace vesalius {

class OutputFile;

}  // namespace vesalius

namespace vesalius::checkpoints {

struct SafeTensor {
  std::string name;
  std::string dtype;  // F32, F64, BF16, F16, I64, I32, U8 ...
  std::vector<std::int64_t> shape;
  const void* data = nullptr;  // contiguous, row-major
  std::size_t bytes = 0;
};

// Writes atomically; the data section begins at a multiple of 64, tensors in the given order
// without gaps. A pipe or device is written to as it is. Errors: kCannotCreate; kInvalidData for
// text that is not UTF-8.
void WriteSafeTensors(const std::string& path, const std::vector<SafeTensor>& tensors,
                      const std::map<std::string, std::string>& metadata);

// The same file, tensor after tensor, so that none need be in memory whole.
class SafeTensorsOutput {
 public:
  // `tensors`: what will come, in this order; their data is not used.
  SafeTensorsOutput(const std::string& path, const std::vector<SafeTensor>& tensors,
                    const std::map<std::string, std::string>& metadata);
  ~SafeTensorsOutput();  // without Finish() nothing is left
  SafeTensorsOutput(const SafeTensorsOutput&) = delete;
  SafeTensorsOutput& operator=(const SafeTensorsOutput&) = delete;

  void Write(const void* data, std::size_t bytes);
  void Finish();

 private:
  std::string path_, writing_;  // the same for a pipe or device
  std::unique_ptr<OutputFile> file_;
  std::uint64_t expected_ = 0;  // bytes in all
};

// CRC-32C of each tensor's bytes, by name; the header is checked as below, the data read in pieces.
std::map<std::string, std::uint32_t> SafeTensorsChecksums(const std::string& path);

class SafeTensorsFile {
 public:
  // Reads the whole file and checks the header: overlaps, gaps, sizes. Errors: kInputMissing,
  // kInvalidData.
  explicit SafeTensorsFile(const std::string& path);
  SafeTensorsFile(const SafeTensorsFile&) = delete;
  SafeTensorsFile& operator=(const SafeTensorsFile&) = delete;
  const std::vector<SafeTensor>& tensors() const { return tensors_; }  // views into this object
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::string content_;
  std::vector<SafeTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace vesalius::checkpoints
