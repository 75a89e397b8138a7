// The model's part of a configuration, from resolved messages: its shape, its losses and how they
// run. Every value is checked where it is read. Errors: kConfig.
#pragma once

#include "model/config.h"

namespace vesalius::trainer {

class DistProto;
class LossProto;
class ModelProto;

// text.vocabulary stays 0 until the vocabulary is known.
model::ModelConfig ReadModel(const ModelProto& in, const LossProto& loss, const DistProto& dist);

}  // namespace vesalius::trainer
