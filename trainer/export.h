// `vesalius export` and `vesalius embed`.
#pragma once

#include <cstdint>
#include <string>

namespace vesalius::trainer {

// Writes OUT/vision.safetensors (timm ViT names), OUT/text/ (a Hugging Face BERT folder),
// OUT/model.safetensors (everything, our names), configs as JSON and vocab.txt. The tensors are
// streamed from the checkpoint (checkpoints/tensor_export.h).
struct ExportOptions {
  std::string checkpoint, out;
  bool bfloat16 = false;
  std::uint64_t max_shard_bytes = 0;
};
void Export(const ExportOptions& options);

struct EmbedOptions {
  std::string checkpoint;
  std::string images, texts;  // exactly one: a file with one path, or one text, a line
  std::string out;            // .safetensors
};
void Embed(const EmbedOptions& options);

}  // namespace vesalius::trainer
