// Who writes what: ranks may hold a tensor whole (replicas), in parts, or not at all.
#pragma once

#include <vector>

#include "checkpoints/boxes.h"

namespace vesalius::checkpoints {

// `held[rank][tensor]` is the box which that rank has in memory (volume 0: none), `items[tensor]`
// the size of an element. Equal boxes are replicas: one of their holders writes them. Returns for
// every rank the tensors it writes, in order. Heaviest boxes first, each to its least loaded
// holder, so that bytes are balanced; the same on every rank.
std::vector<std::vector<int>> AssignWriters(const std::vector<std::vector<Box>>& held,
                                            const std::vector<std::size_t>& items);

}  // namespace vesalius::checkpoints
