// AdamW (Loshchilov & Hutter, 2019, algorithm 2) through at::_fused_adamw_, on the pieces of the
// parameters that this rank updates (all of them, or its shards). State is addressed by parameter
// name and range, so that a checkpoint can hold it. Parameters are float32 (or float64) masters
// whatever computes the gradients. An element's update does not depend on how parameters are cut.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "dist/grad_exchange.h"
#include "model/recipe.h"

namespace vesalius::trainer {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.05;
};

// What gradients of global norm `norm` are multiplied by so that it is at most `clip` (0 = no
// limit). On the device of `norm` and without waiting for it.
at::Tensor ClipScale(const at::Tensor& norm, double clip);

class AdamW {
 public:
  struct State {
    dist::ParameterPiece piece;
    at::Tensor moment1, moment2;  // flat, like the piece
  };

  AdamW(std::vector<model::ParameterInfo> parameters, std::vector<dist::ParameterPiece> pieces,
        const AdamWOptions& options);

  // One update of the parameters with touched[i]; the others keep value and state (no weight decay
  // while frozen). `scale` (0-dim) multiplies every gradient first (clipping); where it is not
  // finite the whole step is skipped. Nothing is read back from a device.
  void Step(const std::vector<bool>& touched, double lr, const at::Tensor& scale);

  // Collective. The exchange has cut the parameters anew: state follows its elements.
  void Repartition(dist::GradExchange& exchange);

  const std::vector<model::ParameterInfo>& parameters() const { return parameters_; }
  std::vector<State>& states() { return states_; }  // of this rank
  const at::Tensor& steps(int i) const {
    return steps_[i];
  }  // float32, 0-dim: updates of parameter i

 private:
  std::vector<model::ParameterInfo> parameters_;
  std::vector<State> states_;
  std::vector<at::Tensor> steps_;
  AdamWOptions options_;
};

}  // namespace vesalius::trainer
