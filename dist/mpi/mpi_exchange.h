// How one collective moves over Open MPI. Sums are not MPI's (whose order may vary): slices are
// exchanged point to point and added in rank order, then gathered; small arrays are exchanged
// whole.
#pragma once

#include <mpi.h>

#include <optional>
#include <vector>

#include "dist/mpi/engine.h"
#include "dist/request.h"

namespace vesalius::dist {

// The ranks of one communicator; used on the launch thread only.
struct MpiGroup {
  MPI_Comm comm = MPI_COMM_NULL;
  Members members;
  std::vector<std::optional<Header>> last;  // by rank: what it announced last
  bool between_nodes_only = false;  // of all-to-all and send/receive: the rest goes another way
};

// Launch thread only. Returns when it has ended on this rank: the moment when the last rank had
// arrived. Throws Error(kPeerLost), or Error(kBug) when ranks disagree.
Clock::time_point RunOverMpi(MpiEngine& engine, MpiGroup& group, const Request& request,
                             std::chrono::milliseconds deadline);

}  // namespace vesalius::dist
