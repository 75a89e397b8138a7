// `vesalius checkpoints RUN`: what a run folder keeps, whether it is whole, how two steps differ,
// and what of it stays.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "checkpoints/retention.h"

namespace vesalius::checkpoints {

// {"checkpoints": [{step, bytes, age (seconds), token, world, pinned, good, reason}]}, newest
// first. `every_byte`: good means that every byte verifies, not only the manifest and the files'
// lengths.
nlohmann::json ListCheckpoints(const std::string& run_folder, bool every_byte);

// {"a", "b", "equal", "only_a", "only_b", "tensors": [{name, role, shape, elements that differ,
// largest difference}]}; `a` and `b` are steps of the run ("120") or folders.
nlohmann::json DiffCheckpoints(const std::string& run_folder, const std::string& a,
                               const std::string& b);

// Pins (or unpins) a step of the run. Error(kInputMissing).
void PinStep(const std::string& run_folder, const std::string& step, bool pinned);

// Removes what `policy` does not keep, and what cut-off saves and deletions left; the steps
// removed. Takes the run folder as an attempt would: Error(kFenced) while a run lives in it.
nlohmann::json Prune(const std::string& run_folder, const RetentionPolicy& policy);

}  // namespace vesalius::checkpoints
