// The last states of a run in the node's memory. VESALIUS_MEMORY names a folder in tmpfs that the
// node's agent made and that survives the ranks. Each rank keeps two slots there, `a` and `b`, and
// stages its saves into them in turn, so that the staged copy is the memory copy and one whole
// state is there at any time (between two saves only, where there is room for one slot):
//
//   rank-0003.a.shard   the rank's share, byte for byte what its shard on disk has, then zeros up
//                       to the slot's size; a mapped file, written while it is staged
//   rank-0003.a.part    what the share holds, with checksums (a manifest's frame); removed before
//                       the slot is staged into, renamed into place once the share is whole
//
// A part without its shard, or the other way round, counts for nothing; an agent that copies a slot
// to another node copies the shard first and renames the part into place last. A step is complete
// in a folder when the parts of all its ranks (info.world) are there with one step and token.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "checkpoints/manifest.h"

namespace vesalius::checkpoints {

inline constexpr int kMemorySlots = 2;

// FOLDER/rank-0003.a.shard and FOLDER/rank-0003.a.part.
std::string MemoryShard(const std::string& folder, int rank, int slot);
std::string MemoryPart(const std::string& folder, int rank, int slot);

// The folder of this process's node; "" without one.
std::string MemoryFolder();

// A step that a folder holds completely.
struct MemoryStep {
  std::int64_t step = 0;
  std::string token;
};

// Newest first. Parts that do not decode are passed over.
std::vector<MemoryStep> ListMemory(const std::string& folder);

// The manifest of one of them; the names of its files are those in the folder. Error(kInvalidData)
// when it is not complete (any more).
Manifest MemoryManifest(const std::string& folder, const MemoryStep& step);

// Gives up what the folder, if there is one, holds of steps past `step`, copies from other nodes
// too.
void ForgetMemory(const std::string& folder, std::int64_t step);

// The step in a slot, -1 when it holds none.
std::int64_t StepInSlot(const std::string& folder, int rank, int slot);

}  // namespace vesalius::checkpoints
