// Distinct ids of a batch and where each came from, in time linear in the batch: an open-addressed
// table of 4-byte slots that is never cleared. A slot holds the number of a distinct id plus a base
// that grows with every batch, so slots of earlier batches read as empty. Each block of ids passes
// twice: once to compute and prefetch slots, once to claim them. The order is that of first
// appearance: deterministic, and nothing is sorted.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace vesalius::dist {

class Dedupe {
 public:
  // Afterwards unique()[inverse()[i]] == ids[i]. At most 2^31 - 1 ids; any values.
  void Run(std::span<const std::int64_t> ids);

  const std::vector<std::int64_t>& unique() const { return unique_; }
  const std::vector<std::int32_t>& inverse() const { return inverse_; }

 private:
  void MakeRoom(std::size_t ids);

  std::vector<std::uint32_t> slots_;  // power of two, at least twice the ids
  std::uint32_t base_ = 1;            // slots below it are empty
  std::vector<std::int64_t> unique_;
  std::vector<std::int32_t> inverse_;
};

// Positions by distinct id, in ascending order within each: those of id u are
// positions[offsets[u] .. offsets[u + 1]).
struct Groups {
  std::vector<std::int32_t> offsets, positions;
};
Groups GroupPositions(std::span<const std::int32_t> inverse, std::size_t distinct);

}  // namespace vesalius::dist
