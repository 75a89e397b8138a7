// Where a run goes on: a step on disk or one in the nodes' memory. The choice is made once, by rank
// 0, and travels to the others as a text. No step is read here but for its manifest: every rank
// checks what it reads, and a source that fails on one is given up by all.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoints/memory_tier.h"
#include "checkpoints/reader.h"

namespace vesalius::checkpoints {

// The steps that this node's memory holds completely, as a message for rank 0 ...
std::string DescribeMemory();
// ... and from those of all ranks, the steps that every node holds.
std::vector<MemoryStep> CommonMemory(const std::vector<std::string>& by_rank);

// The newest step of the run: of `memory` (those of run `run_id`) or a folder on disk whose
// manifest is good, memory when both are as new. "" when there is none; why a damaged folder was
// passed over is appended to `skipped`. Error(kInputMissing) when one cannot be read.
std::string NewestSource(const std::string& run_folder, const std::string& run_id,
                         const std::vector<MemoryStep>& memory, std::vector<std::string>* skipped);

// A source as text: a step folder is its path.
std::string SourceText(const MemoryStep& step);
bool IsMemorySource(const std::string& source);
// Error(kInvalidData, kInputMissing).
std::unique_ptr<Reader> OpenSource(const std::string& source);

}  // namespace vesalius::checkpoints
