// What the training of one rank is given: everything in it has been validated and opened.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoints/attempt.h"
#include "data/dataset.h"
#include "dist/communicator.h"
#include "trainer/config.h"
#include "trainer/initial_weights.h"
#include "trainer/model_setup.h"
#include "trainer/wordpieces.h"

namespace vesalius::trainer {

struct TrainContext {
  const Config& config;
  std::string run_folder;
  dist::Communicator& comm;
  at::Device device;
  Sources sources;                                    // the training splits to mix
  std::shared_ptr<const data::Dataset> train, valid;  // joined; valid may be empty
  ModelVocabulary vocabulary;
  const checkpoints::Attempt* attempt = nullptr;  // rank 0 only
  std::string token;                              // of the attempt, on every rank
  int attempt_number = 1;
  std::string resume_from;  // checkpoints/source.h, or "" for a fresh start; the same on every rank
  // Collective: the next older source, once a rank found `source` damaged; `why` names file, tensor
  // and offset. Error(kInvalidData) on every rank when there is none.
  std::function<std::string(const std::string& source, const std::string& why)> fall_back;
  // Null on every rank, or on none: what a fresh start begins with; only rank 0's is read.
  const InitialWeights* initial = nullptr;
  const std::vector<std::string>& faults;  // trainer/fault.h

  bool lead() const { return comm.rank() == 0; }
};

}  // namespace vesalius::trainer
