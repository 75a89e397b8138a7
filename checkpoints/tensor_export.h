// From a checkpoint to safetensors files, piece after piece: no tensor is ever in memory whole, the
// dtype is cast on the way, and what was written is read back and compared.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "checkpoints/boxes.h"
#include "checkpoints/reader.h"

namespace vesalius::checkpoints {

// A tensor to write: boxes of stored parameters (F32 or F64), one after the other in row-major
// memory. A part without a name is zeros.
struct ExportTensor {
  struct Part {
    std::string parameter;
    Box box;
  };
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<Part> parts;
};

struct ExportOptions {
  bool bfloat16 = false;                          // else float32
  std::uint64_t max_shard_bytes = 5'000'000'000;  // of tensors in a file; a larger tensor is alone
};

// Writes FOLDER/STEM.safetensors, or, where that would be too large,
// FOLDER/STEM-00001-of-0000N.safetensors and FOLDER/STEM.safetensors.index.json as Hugging Face has
// them; files of an earlier export with this stem go. Errors: kInvalidData (the checkpoint),
// kCannotCreate (also when a file reads back different).
void ExportTensors(const Reader& reader, const std::vector<ExportTensor>& tensors,
                   const std::string& folder, const std::string& stem,
                   const ExportOptions& options);

// "5GB", "500 MB", "1000000": bytes. Error(kUsage).
std::uint64_t ParseSize(const std::string& text);

}  // namespace vesalius::checkpoints
