// One optimiser step of one rank: forward, loss, backward with the gradient exchange, update. Holds
// what a step changes (model, optimiser, exchange) and knows nothing of files, data sets or the
// run, so that training and `vesalius plan` run the same code.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "dist/communicator.h"
#include "dist/grad_exchange.h"
#include "model/anatomy_vlm.h"
#include "trainer/adamw.h"
#include "trainer/config.h"
#include "trainer/fixed_slices.h"
#include "trainer/model_setup.h"
#include "trainer/numbers_watch.h"
#include "trainer/phase_clock.h"

namespace vesalius::trainer {

// The same on every rank.
struct StepOutcome {
  double loss = 0;                                     // weighted, over all ranks
  std::vector<std::pair<std::string, double>> losses;  // by name, unweighted
  double grad_norm = 0;
  Verdict verdict = Verdict::kApply;
  std::vector<double> sums;  // of the caller's flags
};

// What becomes of a step's update, given its loss and gradient norm, which are the same on every
// rank.
struct UpdateRule {
  // Must refuse what is not finite; null: refuses nothing else.
  std::function<Verdict(double loss, double grad_norm)> judge = nullptr;
  bool early = false;  // it may refuse more: asked before the update, which waits for it
};

class TrainStep {
 public:
  // Collective: the ranks compare their parameter lists. References must outlive this.
  TrainStep(const Config& config, const ModelVocabulary& vocabulary, at::Device device,
            dist::Communicator& comm);

  // Both with whole parameters: they wait for what other ranks updated.
  model::AnatomyVlm& model();
  const std::vector<model::ParameterInfo>& parameters();
  AdamW& optimiser() { return optimiser_; }
  const FixedSlices* slices() const { return slices_.get(); }  // null: off

  // Collective. `step` counts from 0 (for messages); `flags` are summed over the ranks on the way.
  // Nothing is updated unless the verdict is kApply.
  // `slices`: this rank's batch, or with trainer.slices its fixed slices in order.
  StepOutcome Run(std::int64_t step, std::span<const model::BatchTensors> slices, double lr,
                  std::span<const double> flags, PhaseClock& clock, const UpdateRule& rule = {});

 private:
  void EndStep();

  const Config& config_;
  dist::Communicator& comm_;
  std::unique_ptr<model::AnatomyVlm> model_;
  std::vector<model::ParameterInfo> parameters_;
  dist::GradExchange exchange_;
  AdamW optimiser_;
  std::unique_ptr<FixedSlices> slices_;  // with trainer.slices
  bool updated_ = false;                 // the last step is still to be ended
};

}  // namespace vesalius::trainer
