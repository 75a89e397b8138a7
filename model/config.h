// The shape of an Anatomy-VLM. Plain structs filled from the configuration (trainer/config.cc),
// whose file trainer/config.proto documents every key, default and range.
#pragma once

#include <cstdint>
#include <string>

namespace vesalius::model {

struct VisionConfig {
  int image_size = 0;  // side of the square input, pixels; a multiple of patch_size
  int patch_size = 0;
  int channels = 0;  // 1 or 3
  int width = 0;     // D
  int depth = 0;     // blocks
  int heads = 0;
  int mlp = 0;            // hidden width of a block's MLP
  std::string positions;  // "sincos" (2-D sine-cosine start, trained) or "normal" (truncated, 0.02)
  double token_std = 0;   // scale of the start of CLS, anatomy tokens and sine-cosine positions
  int patches() const { return (image_size / patch_size) * (image_size / patch_size); }
};

struct TextConfig {
  int vocabulary = 0;  // word pieces
  int width = 0;       // H
  int depth = 0;
  int heads = 0;
  int mlp = 0;
  int positions = 0;    // longest text, tokens
  std::string pooling;  // "cls" or "mean" over the tokens that are not padding
  bool frozen = false;  // train only the projection
  bool table = false;   // look frozen texts up instead of encoding them each time
};

// Knowledge rows for regions (model/knowledge.h).
struct KnowledgeConfig {
  bool enabled = false;
  int heads = 0;          // of the attention; divides the vision width
  int rows = 0;           // R, concepts of a region at most
  std::string optimiser;  // of the rows: "adam" (lazy) or "adagrad" (row-wise)
};

struct LossConfig {
  double anatomy = 0, presence = 0, global = 0, fine = 0, pair = 0;  // weights; 0 leaves a loss out
  double l1 = 0, giou = 0;                                           // inside the anatomy loss
  double knowledge = 0;                                              // a weight
};

// How the contrastive losses run (dist/ring_loss.h).
struct ContrastConfig {
  std::string pair_form = "infonce";   // or "siglip"
  std::string positives = "share";     // or "drop": pairs of equal reports beside the own one
  std::string contrast = "hybrid";     // or "gather", "ring"
  std::int64_t logit_cache_bytes = 0;  // of the pair loss
  double skip_epsilon = 0;             // of the pair loss; 0 = exact
};

struct ModelConfig {
  VisionConfig vision;
  TextConfig text;
  KnowledgeConfig knowledge;
  int embed_dim = 0;       // d, the space shared by images, regions and texts
  double temperature = 0;  // start of both contrastive temperatures
  double label_scale = 0;  // start of the image-label logit scale
  double label_bias = 0;   // start of the image-label logit bias
  LossConfig loss;
  ContrastConfig contrast;
  double dropout = 0;  // of what each branch of a block adds, in training
};

}  // namespace vesalius::model
