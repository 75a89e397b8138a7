// AdamW (Loshchilov & Hutter, 2019, algorithm 2) through at::_fused_adamw_, with state addressed by
// parameter name, so that a checkpoint can hold it.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "model/recipe.h"

namespace vesalius::trainer {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.05;
};

// What gradients of global norm `norm` are multiplied by so that it is at most `clip` (0 = no
// limit).
double ClipScale(double norm, double clip);

class AdamW {
 public:
  struct State {
    at::Tensor moment1, moment2;  // like the parameter
    at::Tensor steps;             // float32, 0-dim: updates this parameter has had
  };

  AdamW(std::vector<model::ParameterInfo> parameters, const AdamWOptions& options);

  // One update of the parameters with touched[i]; the others keep value and state (no weight decay
  // while frozen). `scale` multiplies every gradient first (clipping).
  void Step(const std::vector<bool>& touched, double lr, double scale);

  const std::vector<model::ParameterInfo>& parameters() const { return parameters_; }
  std::vector<State>& states() { return states_; }

 private:
  std::vector<model::ParameterInfo> parameters_;
  std::vector<State> states_;
  AdamWOptions options_;
};

}  // namespace vesalius::trainer
