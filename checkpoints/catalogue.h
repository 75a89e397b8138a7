// `vesalius checkpoints RUN`: what a run folder keeps, whether it is whole, how two steps differ,
// and what of it stays.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "checkpoints/retention.h"

namespace vesalius::checkpoints {

// {"checkpoints": [{step, bytes, age (seconds), token, world, pinned, good, reason, damaged (else
// it cannot be read)}]}, newest first. `every_byte`: good means that every byte verifies, not only
// the manifest and the files' lengths. A step that a living run removes meanwhile is left out.
nlohmann::json ListCheckpoints(const std::string& run_folder, bool every_byte);

// {"a", "b", "equal", "only_a": [{name, role}], "only_b", "reshaped": [{name, role, a, b: dtype and
// shape}], "tensors": [{name, role, shape, elements that differ, largest finite difference, how
// many differ by NaN or infinity}], "blobs": [names of those that differ]}; `a` and `b` are steps
// of the run ("120") or folders.
nlohmann::json DiffCheckpoints(const std::string& run_folder, const std::string& a,
                               const std::string& b);

// Pins (or unpins) a step of the run, "120" or its folder. Error(kInputMissing).
void PinStep(const std::string& run_folder, const std::string& step, bool pinned);

// Removes what `policy` does not keep (PruneSteps); the steps removed. Takes the run folder as an
// attempt would: Error(kFenced) while a run lives in it.
nlohmann::json Prune(const std::string& run_folder, const RetentionPolicy& policy);

}  // namespace vesalius::checkpoints
