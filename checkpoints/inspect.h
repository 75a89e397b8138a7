// What `vesalius inspect` says of a checkpoint step folder or of a run folder (its newest step).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "checkpoints/checkpoint.h"

namespace vesalius::checkpoints {

// "parameter", "moment1" ...: as written in JSON and documented for users.
const char* RoleKey(Role role);

bool IsCheckpoint(const std::string& path);

// {"kind":"checkpoint","step","samples","tensors":[{name,dtype,shape,role}],"parameters_digest",...};
// verifies every byte. Damage: Error(kInvalidData) naming file, tensor and offset.
nlohmann::json InspectCheckpoint(const std::string& path);

}  // namespace vesalius::checkpoints
