// Forward, loss and backward of one step.
#pragma once

#include <vector>

#include "dist/communicator.h"
#include "dist/grad_exchange.h"
#include "model/recipe.h"
#include "trainer/config.h"
#include "trainer/phase_clock.h"

namespace vesalius::trainer {

// Features in the type of the losses; with `bfloat16` the encoders' products are taken in it.
model::Features Encode(model::Recipe& recipe, const model::BatchTensors& slice, bool bfloat16);

// What is trained on; undefined when every weight is zero.
at::Tensor WeightedSum(const std::vector<model::NamedLoss>& losses);

// Of the local batch; gradients end up in the exchange. With one slice this is
// plain backpropagation. With more, features of all slices are computed without a graph, the loss
// gives their gradients, and each slice is encoded again to carry them into the parameters
// (GradCache; Gao et al., 2021): the same loss and gradients in the memory of one slice.
std::vector<model::NamedLoss> ForwardBackward(model::Recipe& recipe,
                                              const model::BatchTensors& batch,
                                              const TrainerConfig& config, dist::Communicator& comm,
                                              dist::GradExchange& exchange, PhaseClock& clock);

}  // namespace vesalius::trainer
