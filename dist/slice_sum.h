// A sum over the slices of a batch whose bits do not depend on who computed which slice: `slices`
// tensors are added in one fixed binary tree (the left subtree of n leaves has the largest power of
// two below n), whatever the number of ranks.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "dist/communicator.h"

namespace vesalius::dist {

// Slices [begin, end).
struct SliceRange {
  int begin = 0, end = 0;
  int size() const { return end - begin; }
};

// Those of a rank: contiguous, as even as can be; none is empty with ranks <= slices.
SliceRange SlicesOf(int rank, int ranks, int slices);

// Collective. `own`: this rank's SlicesOf() in order, flat, of the same length and type on every
// rank; they may be overwritten. The sum over all slices, on every rank. What a rank sends and
// receives is at most 2 log2(slices) tensors, divided by the ranks, and one tensor.
at::Tensor SumSlices(Communicator& comm, std::vector<at::Tensor> own, int slices);

}  // namespace vesalius::dist
