// How one collective moves between ranks of several nodes: through shared memory inside each node
// and over MPI between nodes. The k-th ranks of all nodes form lane k; a node has as many lanes as
// the smallest node has ranks, and each carries an equal part of what crosses, so that every byte
// goes to another node once, not once a rank: an all-reduce takes 1 / (ranks a node) of the bytes
// of a flat one. Sums are taken inside each node in rank order, then over the nodes in the order of
// their first ranks; a bfloat16 sum is rounded once a level.
#pragma once

#include <memory>
#include <vector>

#include "dist/mpi/mpi_exchange.h"
#include "dist/node/node_group.h"
#include "dist/node/segments.h"
#include "dist/request.h"

namespace vesalius::dist {

// The ranks of one communicator, as a rank sees them.
struct TwoLevelGroup {
  Members members;
  Topology topology;
  std::vector<std::vector<int>> ranks_of;  // by node
  int lanes = 1;
  MpiGroup all;   // every rank; moves data between nodes only
  MpiGroup lane;  // by node; without members where this rank is in none
  std::shared_ptr<NodeGroup> node;
};

// Fills all but the communicators and `node`.
TwoLevelGroup DescribeTwoLevels(const Members& members);
// The ranks of this rank's node, or lane.
Members NodePart(const TwoLevelGroup& group);
Members LanePart(const TwoLevelGroup& group);

// As RunOverMpi and RunOnNode. Launch thread only.
Clock::time_point RunOnTwoLevels(MpiEngine& engine, TwoLevelGroup& group, Segments& segments,
                                 const Request& request, std::chrono::milliseconds deadline);

}  // namespace vesalius::dist
