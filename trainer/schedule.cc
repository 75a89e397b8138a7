#include "trainer/schedule.h"

#include <algorithm>
#include <cmath>

namespace vesalius::trainer {

double LearningRate(const TrainerConfig& config, std::int64_t step) {
  const double steps = static_cast<double>(config.steps), at = static_cast<double>(step);
  const double ramp = std::min(1.0, (at + 1) / std::max(1.0, config.warmup * steps));
  const double cosine = 0.5 * (1 + std::cos(M_PI * std::min(1.0, at / steps)));
  return config.lr * ramp * (config.min_lr + (1 - config.min_lr) * cosine);
}

int StageAt(const TrainerConfig& config, std::int64_t step) {
  const double steps = static_cast<double>(config.steps);
  if (step < std::llround(config.stage1 * steps)) return 1;
  return step < std::llround((config.stage1 + config.stage2) * steps) ? 2 : 3;
}

}  // namespace vesalius::trainer
