// The training loop of one rank.
#pragma once

#include "base/exit_codes.h"
#include "trainer/train_context.h"

namespace vesalius::trainer {

// kFinished when all steps are done, kSavedResumable after a stop request and its checkpoint.
// Errors: kPeerLost, kCannotSave, kFenced, kNumericalStop, kInvalidData (the checkpoint does not
// fit).
ExitCode Train(const TrainContext& context);

}  // namespace vesalius::trainer
