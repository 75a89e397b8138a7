// Chooses how a table lies on the ranks by rehearsal: each strategy runs a few steps on the batch's
// own ids, at the table's real size, on the memory and the links that training will use, so that
// duplication, skew and machine enter as they are. Memory peaks at what one table takes. A strategy
// whose rows and state would not fit into the table's RAM budget, where another's would, is left
// out.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>

#include "dist/table/sharded_table.h"

namespace vesalius::dist {

struct TablePlan {
  TableStrategy strategy = TableStrategy::kRows;
  // Of a step (look-up, and update unless frozen) by strategy in the order of the enumeration: the
  // slowest rank's median, of the quicker rehearsal; infinite for what was left out.
  std::array<double, 3> seconds{};
};

// Collective; the same plan on every rank. `ids`: what this rank looks up in a typical step. On a
// single rank all strategies are the same and nothing is measured.
TablePlan PlanTable(Communicator& comm, TableOptions options, const at::Tensor& ids);

}  // namespace vesalius::dist
