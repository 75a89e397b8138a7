// This rank's batches, as tensors on its device. With trainer.slices each of the rank's slices has
// a loader of its own and is a rank to it, so that a slice has the same samples whichever rank
// computes it; else there is one.
#pragma once

#include <memory>
#include <memory_resource>
#include <string>
#include <utility>
#include <vector>

#include "data/loader/pipeline.h"
#include "model/recipe.h"
#include "trainer/train_context.h"

namespace vesalius::trainer {

// What this rank gives to one step.
struct StepInput {
  std::vector<data::Batch> batches;                     // one, or a slice each
  std::vector<model::BatchTensors> tensors;             // of these; on the CPU over their memory
  std::int64_t unreadable = 0;                          // records that are missing from the batches
  std::vector<std::pair<std::string, double>> seconds;  // of the loaders, as metrics.jsonl has them

  // Where the run stands once the step is done.
  const data::LoaderState& after() const { return batches.back().state; }
};

class BatchSource {
 public:
  // References must outlive this.
  BatchSource(const TrainContext& context, const model::Recipe& recipe);

  // Collective. The next batch is the first behind `position`, with the texts that `stage` needs.
  void Open(const data::LoaderState& position, int stage);
  void SetStage(int stage);

  // Blocks until it is decoded (data/loader/pipeline.h).
  StepInput Next();

 private:
  data::PipelineOptions Options(int stage) const;
  std::shared_ptr<const data::TokenStore> OpenTokens() const;

  const TrainContext& context_;
  const model::Recipe& recipe_;
  std::unique_ptr<std::pmr::memory_resource> pixel_memory_;  // outlives the loaders
  std::vector<std::unique_ptr<data::Pipeline>> loaders_;
};

}  // namespace vesalius::trainer
