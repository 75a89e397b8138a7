#include "model/flops.h"

#include <gtest/gtest.h>

namespace vesalius::model {
namespace {

constexpr double kGiga = 1e9;

VisionConfig Vision(int image, int patch, int channels, int width, int depth, int mlp) {
  VisionConfig config;
  config.image_size = image;
  config.patch_size = patch;
  config.channels = channels;
  config.width = width;
  config.depth = depth;
  config.mlp = mlp;
  return config;
}

TextConfig Text(int width, int depth, int mlp) {
  TextConfig config;
  config.width = width;
  config.depth = depth;
  config.mlp = mlp;
  return config;
}

// BERT-base of 77 and 256 tokens: 13.30 and 45.90 GFLOP, as the literature has them.
TEST(Flops, OfBertBase) {
  EXPECT_NEAR(TextFlops(Text(768, 12, 3072), 77) / kGiga, 13.30, 0.005);
  EXPECT_NEAR(TextFlops(Text(768, 12, 3072), 256) / kGiga, 45.90, 0.005);
}

// ViT-B/16 and ViT-S/16 with 29 anatomy tokens.
TEST(Flops, OfVisionTransformers) {
  EXPECT_NEAR(VisionFlops(Vision(224, 16, 3, 768, 12, 3072)) / kGiga, 40.5, 0.05);
  EXPECT_NEAR(VisionFlops(Vision(224, 16, 1, 384, 12, 1536)) / kGiga, 10.5, 0.1);
}

}  // namespace
}  // namespace vesalius::model
