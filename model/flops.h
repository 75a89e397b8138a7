// Floating-point operations of the encoders: 2 a multiply-add, matrix products only (what
// utilisation figures in the literature count). A training step costs three forwards.
#pragma once

#include <cstdint>

#include "model/config.h"

namespace vesalius::model {

// Forward of one image: patch embedding and blocks over [CLS], patches and anatomy tokens.
double VisionFlops(const VisionConfig& config);

// Forward of one text of `tokens` tokens.
double TextFlops(const TextConfig& config, std::int64_t tokens);

}  // namespace vesalius::model
