// trainer.slices = V: steps whose bits do not depend on the number of ranks. The global batch is
// cut into V slices; each is encoded and carried back by itself, on whichever rank has it, and the
// V gradients are added in one fixed tree (dist/slice_sum.h). The losses, which look at the whole
// batch, are taken by every rank from the gathered features, the same bits everywhere. The price:
// that repeated loss, the gathering, and an exchange of gradients that overlaps with nothing.
// Kernels must be the same too: one kind of processor, and as many threads (trainer.threads) a
// rank.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dist/communicator.h"
#include "model/recipe.h"
#include "trainer/config.h"
#include "trainer/phase_clock.h"

namespace vesalius::trainer {

class FixedSlices {
 public:
  // Collective. References must outlive this.
  FixedSlices(model::Recipe& recipe, const std::vector<model::ParameterInfo>& parameters,
              const TrainerConfig& config, dist::Communicator& comm);

  // Collective. `own`: dist::SlicesOf() this rank, in order; each may have any number of rows.
  // Returns the losses of the whole batch on rank 0, and on the others zeros, so that they add up;
  // and by parameter the gradient of the whole batch (flat; undefined where a parameter took no
  // part), the same bits on every rank.
  std::vector<model::NamedLoss> ForwardBackward(std::int64_t step, bool audit,
                                                std::span<const model::BatchTensors> own,
                                                std::vector<at::Tensor>* gradients,
                                                PhaseClock& clock);

  // What the steps so far spent on what a run without fixed slices does not do, for people.
  std::string Cost() const;

 private:
  // The whole batch, as every rank has it.
  struct Whole {
    model::Features features;  // leaves, whose gradients come back to the slices
    model::BatchTensors labels;
    std::map<std::string, std::int64_t> first;  // where this rank's rows of a feature begin
  };
  Whole Gather(std::span<const model::BatchTensors> own, std::span<const model::Features> encoded);
  std::vector<model::NamedLoss> Loss(Whole* whole, const std::vector<at::Tensor>& trained,
                                     std::vector<at::Tensor>* gradients);
  at::Tensor SumGradients(std::vector<model::Features> encoded, const Whole& whole,
                          const std::vector<at::Tensor>& trained);

  model::Recipe& recipe_;
  const std::vector<model::ParameterInfo>& parameters_;
  const TrainerConfig& config_;
  dist::Communicator& comm_;
  std::unique_ptr<dist::Communicator> alone_;  // this rank only: for the losses
  double all_s_ = 0, gather_s_ = 0, loss_s_ = 0, add_s_ = 0;
};

}  // namespace vesalius::trainer
