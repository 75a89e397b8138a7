// What a checkpoint holds, independent of how it is stored (docs/formats.md, fault-tolerance rules
// in docs/checkpoints.md). Tensors go by name and range, so that sharding, asynchronous writing and
// any world size need no new format. No torch: raw memory with dtype and shape.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace vesalius::checkpoints {

enum class Role { kParameter = 0, kMoment1 = 1, kMoment2 = 2, kScalar = 3, kBuffer = 4 };

// A box of a global tensor: `offset` and `shape` have the tensor's rank.
struct TensorMeta {
  std::string name;  // e.g. "vision.blocks.0.norm1.weight"; moments carry the same name, other role
  std::string dtype;                // safetensors names: F32, F64, BF16, I64, I32, U8
  std::vector<std::int64_t> shape;  // global
  Role role = Role::kParameter;
};

// Memory to be saved or filled: contiguous, row-major, owned by the caller for the call's duration.
struct TensorView {
  TensorMeta meta;
  std::vector<std::int64_t> offset, extent;  // which part of the global tensor `data` is
  void* data = nullptr;  // null: this rank holds none of it (offset and extent are empty)
  std::size_t bytes = 0;
};

// Everything of a step but the tensors.
struct StepInfo {
  std::int64_t step = 0;
  std::int64_t samples = 0;
  std::string run_id;
  std::string token;  // attempt that wrote it: "run/generation/attempt"
  std::string config_hash;
  std::string config_text;                   // resolved configuration, Protobuf text
  std::int64_t world = 1;                    // informative only
  double wall_time = 0;                      // seconds since 1970
  std::string version;                       // of the program
  std::map<std::string, std::string> blobs;  // loader state, vocabulary, metric state ...
};

}  // namespace vesalius::checkpoints
