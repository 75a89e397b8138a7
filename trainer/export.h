// `vesalius export` and `vesalius embed`.
#pragma once

#include <string>

namespace vesalius::trainer {

// Writes OUT/vision.safetensors (timm ViT names), OUT/text/ (a Hugging Face BERT folder),
// OUT/model.safetensors (everything, our names), configs as JSON and vocab.txt.
void Export(const std::string& checkpoint, const std::string& out);

struct EmbedOptions {
  std::string checkpoint;
  std::string images, texts;  // exactly one: a file with one path, or one text, a line
  std::string out;            // .safetensors
};
void Embed(const EmbedOptions& options);

}  // namespace vesalius::trainer
