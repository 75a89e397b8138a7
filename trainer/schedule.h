// What changes over the steps of a run: the learning rate and the stage. Pure functions of the
// step.
#pragma once

#include <cstdint>

#include "trainer/config.h"

namespace vesalius::trainer {

// Linear warm-up over `warmup` of the steps, then a cosine from lr to min_lr * lr over all steps.
// `step` counts from 0.
double LearningRate(const TrainerConfig& config, std::int64_t step);

// 1 localise, 2 + image labels (and reports), 3 + region phrases.
int StageAt(const TrainerConfig& config, std::int64_t step);

}  // namespace vesalius::trainer
