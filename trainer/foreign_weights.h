// Weights of other programs under our names: timm's vision transformers and Hugging Face's BERT, as
// their safetensors files hold them, and what `vesalius export` writes. Only names and layouts are
// translated here; whether the sizes are those of a model is checked in trainer/initial_weights.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

namespace vesalius::trainer {

struct ForeignWeights {
  struct Entry {
    at::Tensor tensor;   // float32, contiguous
    std::string origin;  // its name (or names) in the file
  };
  std::string path;
  // By our parameter name. q, k and v are one matrix; positions are `vision.pos_embed`
  // [1, 1 + side^2, D] (zero for a CLS that has none) and, where the file has 29 registers,
  // `vision.anatomy_pos`; the patch kernel and the grid of positions have the file's own channels
  // and side.
  std::map<std::string, Entry> entries;
  std::vector<std::string> skipped;  // names in the file that a model of ours has no use for
  bool vision = false, text = false;
  int vision_heads = 0, text_heads = 0;  // as told by a config.json beside the file; 0 = not told
};

// Reads F16, BF16, F32 and F64. A prefix of all names of a tower ("bert.", "vision.", ...) is found
// by itself; LayerNorm's old names gamma and beta are known. Heads and scales of a Vesalius export
// are taken where `known`, the model's parameters, holds their names.
// Errors: kInputMissing; kInvalidData for a damaged file; kConfig for one that holds neither tower
// nor a known name, more than one tower of a kind, or a tower with parts that our blocks do not
// have (layer scale, relative positions).
ForeignWeights ReadForeignWeights(const std::string& path, const std::vector<std::string>& known);

}  // namespace vesalius::trainer
