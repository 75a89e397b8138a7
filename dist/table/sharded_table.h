// A large table of rows [rows, width] that the ranks hold together: replicated, by ranges of rows
// or by columns (dist/table/layout.h; dist/table/planner.h chooses), looked up by id and trained by
// a sparse optimiser where the rows are. Results do not depend on the number of ranks, nor in any
// bit on the strategy.
//
// Look-up: distinct ids only are exchanged (dist/table/dedupe.h). Backward keeps the gradient; Step
// sums it over repeated ids, sends one row for each distinct id, merges the ranks' rows in rank
// order and updates each touched row once. So backward communicates nothing, and several look-ups
// (or slices of a batch) add up until Step.
//
// Rows live in host memory: in RAM up to a budget, beyond it in a mapped file
// (dist/table/tiered_memory.h). For a communicator on another device ids are taken from and rows
// are brought to that device.
#pragma once

#include <ATen/core/Tensor.h>

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "dist/communicator.h"
#include "dist/table/layout.h"

namespace vesalius::dist {

enum class SparseOptimiser { kFrozen, kRowwiseAdagrad, kLazyAdam };  // dist/table/row_kernels.h

struct TableOptions {
  std::string name;  // in collectives and messages
  std::int64_t rows = 0, width = 0;
  TableStrategy strategy = TableStrategy::kRows;
  bool float64 = false;  // float32 otherwise
  SparseOptimiser optimiser = SparseOptimiser::kFrozen;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;  // Adagrad uses eps only
  // RAM of this rank for rows and their optimiser state.
  std::size_t fast_bytes = std::numeric_limits<std::size_t>::max();
};

// A part of the table's state that this rank holds, for checkpoints: `part` [extent] lies at
// `offset` of a tensor of `shape`; equal boxes on several ranks hold equal values.
struct TableState {
  std::string what;  // "values", "moment1", "moment2", "squares", "last", "steps"
  at::Tensor part;
  std::vector<std::int64_t> shape, offset;
};

// Since construction, on this rank.
struct TableStats {
  std::int64_t ids = 0, unique = 0;  // looked up
  std::int64_t bytes_sent = 0;       // by look-ups and updates
};

class ShardedTable {
 public:
  // All values 0. The same options on every rank (fast_bytes may differ).
  ShardedTable(Communicator& comm, const TableOptions& options);
  ~ShardedTable();

  const TableOptions& options() const;
  const TableLayout& layout() const;
  at::Tensor values() const;       // this rank's block (layout().Block), without a copy
  std::size_t slow_bytes() const;  // of this rank that did not fit in fast_bytes

  // Collective. Every rank gives a range of whole rows [n, width] (n may be 0); in rank order they
  // make up the table.
  void Fill(const at::Tensor& rows);

  // Collective. ids [n] int64 in [0, rows), n may be 0 -> rows [n, width], differentiable unless
  // frozen. An id out of range: Error(kBug).
  at::Tensor Lookup(const at::Tensor& ids);

  // Collective; nothing for a frozen table. One optimiser step with the gradients, times `scale`,
  // of all backward passes since the last. Rows without a gradient keep value and state.
  void Step(double lr, double scale = 1);
  // Drops those gradients instead.
  void ForgetGradients();

  // What a checkpoint holds; the tensors share the table's memory, so filling them restores it.
  std::vector<TableState> State();

  TableStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vesalius::dist
