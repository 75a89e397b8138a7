#include "model/flops.h"

#include "data/record.h"

namespace vesalius::model {
namespace {

// One transformer block over `tokens` tokens: q, k, v and output projections, the two products of
// attention, and the MLP.
double BlockFlops(double tokens, double width, double mlp) {
  return 8 * tokens * width * width + 4 * tokens * tokens * width + 4 * tokens * width * mlp;
}

}  // namespace

double VisionFlops(const VisionConfig& config) {
  const double patches = config.patches(), tokens = 1 + patches + data::kRegions;
  const double pixels = config.channels * config.patch_size * config.patch_size;
  return 2 * patches * config.width * pixels +
         config.depth * BlockFlops(tokens, config.width, config.mlp);
}

double TextFlops(const TextConfig& config, std::int64_t tokens) {
  return config.depth * BlockFlops(static_cast<double>(tokens), config.width, config.mlp);
}

}  // namespace vesalius::model
