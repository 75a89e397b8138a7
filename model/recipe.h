// What the trainer knows of a model: fields it reads, parameters, stages, and a step in two phases.
//
//   Encode  a slice of the batch -> features (rows of images and of texts)
//   Loss    features of the whole local batch -> named losses
//
// Between the phases features may be cached, so that a large batch runs through in slices
// (trainer.accumulate). Each rank's loss is its share of the global loss: shares add up over ranks,
// and so do gradients. Every denominator is a global count; nothing knows the world size.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "dist/communicator.h"

namespace vesalius::model {

// One rank's batch as tensors; n images, u distinct texts, F findings, K image labels.
struct BatchTensors {
  at::Tensor image;            // [n, C, S, S] in the model's type
  at::Tensor boxes;            // [n, 29, 4] cx cy w h
  at::Tensor box_valid;        // [n, 29] uint8
  at::Tensor region_labels;    // [n, 29, F] int8
  at::Tensor region_abnormal;  // [n, 29] int8
  at::Tensor image_labels;     // [n, K] int8
  at::Tensor region_text;      // [n, 29] int32, row of `texts` or -1
  at::Tensor region_truth;     // [n, 29] int8
  at::Tensor texts;            // [u, L] int64
  at::Tensor signatures;       // [u, 4] int64: hash, region, finding, polarity
  at::Tensor reports;          // [n, Lr] int64; [0, 0] where no loss reads them
  at::Tensor report_hash;      // [n] int64

  std::int64_t first_image = 0, first_text = 0;  // of a slice, in the rank's batch
  std::int64_t padding = 0;  // images at the end of the whole batch that no loss counts

  // Images [i0, i1) and texts [t0, t1) of the batch, for Encode.
  BatchTensors Slice(std::int64_t i0, std::int64_t i1, std::int64_t t0, std::int64_t t1) const;
};

// Named features; dimension 0 counts images, texts or reports. Slices of one name concatenate.
using Features = std::map<std::string, at::Tensor>;

struct NamedLoss {
  std::string name;
  double weight;     // 0: a figure to be reported, not trained on
  at::Tensor value;  // 0-dim: this rank's share
};

struct ParameterInfo {
  std::string name;
  at::Tensor tensor;
  bool decay;  // weight decay applies
};

class Recipe {
 public:
  virtual ~Recipe() = default;
  // In a fixed order, each tensor once.
  virtual std::vector<ParameterInfo> parameters() = 0;
  virtual bool NeedsRegionTexts(int stage) const = 0;
  virtual bool NeedsReports() const = 0;
  // Lets gradients flow only into what the stage trains.
  virtual void SetStage(int stage) = 0;
  // Before a step of training. Its randomness follows from `stream`, another number for each step
  // and rank. With `audit` the losses report, as "audit.*", how far they are from float64.
  virtual void BeginStep(std::uint64_t stream, bool audit) = 0;
  virtual Features Encode(const BatchTensors& slice) = 0;
  // Collective. `features` cover the whole local batch, its padding included.
  virtual std::vector<NamedLoss> Loss(const Features& features, const BatchTensors& batch,
                                      dist::Communicator& comm) = 0;
  // After the optimiser: clamps of temperatures.
  virtual void AfterStep() = 0;
  // Collective: the sparse optimisers of the tables that the model looks rows up in.
  virtual void StepTables(double /*lr*/) {}
  // Instead of StepTables() where a step's update is left out.
  virtual void ForgetTableGradients() {}
};

}  // namespace vesalius::model
