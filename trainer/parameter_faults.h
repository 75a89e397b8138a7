// The faults on demand that change numbers (trainer/fault.h): gradients of one rank that are no
// numbers or far too large, a bit of its parameters that flips.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "model/recipe.h"
#include "trainer/fault.h"
#include "trainer/train_step.h"

namespace vesalius::trainer {

// While it lives, every gradient of this rank is multiplied by `factor` before it is exchanged.
class GradientFault {
 public:
  GradientFault(const std::vector<model::ParameterInfo>& parameters, double factor);
  ~GradientFault();
  GradientFault(const GradientFault&) = delete;
  GradientFault& operator=(const GradientFault&) = delete;

 private:
  std::vector<std::pair<at::Tensor, unsigned>> hooks_;
};

// Before a step, after faults.At(): flips bit 14 of the first element of the first parameter when
// that is due, and returns the fault of the gradients, to be kept for the step; null when there is
// none.
std::unique_ptr<GradientFault> ApplyParameterFaults(const Faults& faults, TrainStep& step);

}  // namespace vesalius::trainer
