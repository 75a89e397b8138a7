// What a training run is at a step, and so what a checkpoint holds of it: parameters and optimiser,
// tables, the place in the data, and what the numbers watch remembers. Turns itself into a
// checkpoint's contents and back; when, where and with which outcome on the other ranks is the
// business of trainer/run_checkpoints.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "checkpoints/reader.h"
#include "data/loader/batch.h"
#include "trainer/numbers_watch.h"
#include "trainer/tables.h"
#include "trainer/train_context.h"
#include "trainer/train_step.h"

namespace vesalius::trainer {

class RunState {
 public:
  // Collective: that of a fresh start, without tables. `context` must outlive this.
  explicit RunState(const TrainContext& context);

  TrainStep& train_step() { return train_step_; }
  NumbersWatch& watch() { return watch_; }
  const Tables& tables() const { return tables_; }
  const data::LoaderState& position() const { return position_; }  // of the samples consumed

  // Collective: rank 0's parameters, some of which come from files, become everybody's.
  void TakeInitialWeights(const InitialWeights& initial);

  // All but the tables from `source` (checkpoints/source.h), whose step is returned. Also verifies
  // this rank's share of what no rank loads here, so that all bytes of a source are checked by
  // somebody before it is used. Errors: kInputMissing, kInvalidData.
  std::int64_t Load(const std::string& source);

  // Collective: the tables from the parameters as they are and, unless "", from `source`.
  void SetUpTables(const std::string& source);

  // Everything as in `step`, on the way; with `other_samples` the run stays behind the samples
  // consumed so far, so that others follow. What the watch has counted stays.
  void GoBack(const checkpoints::Reader& step, bool other_samples);

  // A step is done: the samples up to `after` are consumed, of which `unreadable`, over all ranks,
  // could not be read. Error(kInvalidData) when that is more than data.max_unreadable in all: the
  // same on every rank, so that all stop at the same step.
  void Advance(const data::LoaderState& after, std::int64_t unreadable);

  // As a checkpoint: all but the tensors; and those of this rank, where `staging` keeps copies of
  // what lies on a device.
  checkpoints::StepInfo Info(std::int64_t step) const;
  std::vector<checkpoints::TensorView> Views(std::vector<at::Tensor>* staging);

 private:
  void LoadParameters(const checkpoints::Reader& reader);
  const std::string& Blob(const checkpoints::Reader& reader, const char* name) const;

  const TrainContext& context_;
  TrainStep train_step_;
  Tables tables_;
  data::LoaderState position_;
  NumbersWatch watch_;
};

}  // namespace vesalius::trainer
