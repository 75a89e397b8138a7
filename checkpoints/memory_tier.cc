#include "checkpoints/memory_tier.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace vesalius::checkpoints {
namespace {

std::string SlotFile(const std::string& folder, int rank, int slot, const char* kind) {
  char name[40];
  std::snprintf(name, sizeof(name), "rank-%04d.%c.%s", rank, 'a' + slot, kind);
  return StrCat(folder, "/", name);
}

// Nothing when the slot holds no whole share.
std::optional<Manifest> PartInSlot(const std::string& folder, int rank, int slot) {
  const std::string path = MemoryPart(folder, rank, slot);
  try {
    if (!Exists(path)) return std::nullopt;
    Manifest part = DecodePart(ReadFile(path), path);
    for (StoredFile& file : part.files) file.name = MemoryShard("", rank, slot).substr(1);
    return part;
  } catch (const Error&) {
    return std::nullopt;
  }
}

// The parts of a step by rank; empty when one is missing.
std::vector<Manifest> PartsOf(const std::string& folder, const MemoryStep& step) {
  std::vector<Manifest> parts;
  for (std::int64_t rank = 0, world = 1; rank < world; ++rank) {
    bool found = false;
    for (int slot = 0; slot < kMemorySlots && !found; ++slot) {
      std::optional<Manifest> part = PartInSlot(folder, static_cast<int>(rank), slot);
      if (!part || part->info.step != step.step || part->info.token != step.token) continue;
      if (rank == 0) world = part->info.world;
      parts.push_back(std::move(*part));
      found = true;
    }
    if (!found) return {};
  }
  return parts;
}

}  // namespace

std::string MemoryShard(const std::string& folder, int rank, int slot) {
  return SlotFile(folder, rank, slot, "shard");
}

std::string MemoryPart(const std::string& folder, int rank, int slot) {
  return SlotFile(folder, rank, slot, "part");
}

std::string MemoryFolder() {
  const char* folder = std::getenv("VESALIUS_MEMORY");
  return folder != nullptr ? folder : "";
}

std::vector<MemoryStep> ListMemory(const std::string& folder) {
  std::vector<MemoryStep> steps;
  for (int slot = 0; slot < kMemorySlots; ++slot) {
    const std::optional<Manifest> lead = PartInSlot(folder, 0, slot);
    if (!lead) continue;
    const MemoryStep step{lead->info.step, lead->info.token};
    if (!PartsOf(folder, step).empty()) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end(),
            [](const MemoryStep& a, const MemoryStep& b) { return a.step > b.step; });
  return steps;
}

Manifest MemoryManifest(const std::string& folder, const MemoryStep& step) {
  std::vector<Manifest> parts = PartsOf(folder, step);
  Require(!parts.empty(), ExitCode::kInvalidData, folder, " does not hold all of step ", step.step,
          " any more");
  return JoinParts(std::move(parts), folder);
}

void ForgetMemory(const std::string& folder, std::int64_t step) {
  if (folder.empty() || !IsDir(folder)) return;
  for (const std::string& name : ListDir(folder)) {
    if (!name.starts_with("rank-") || !name.ends_with(".part")) continue;
    const std::string path = StrCat(folder, "/", name);
    try {
      if (DecodePart(ReadFile(path), path).info.step <= step) continue;
    } catch (const Error&) {  // another rank was faster, or it is no state
    }
    RemoveTree(path);
  }
}

std::int64_t StepInSlot(const std::string& folder, int rank, int slot) {
  const std::optional<Manifest> part = PartInSlot(folder, rank, slot);
  return part ? part->info.step : -1;
}

}  // namespace vesalius::checkpoints
