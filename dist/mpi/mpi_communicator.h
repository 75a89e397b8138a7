// Collectives of CPU memory over Open MPI. Sums are not MPI's (whose order may vary): slices are
// exchanged point to point and added in rank order, then gathered; small arrays are exchanged
// whole.
#pragma once

#include <memory>

#include "dist/communicator.h"
#include "dist/mpi/engine.h"

namespace vesalius::dist {

// Collective over all ranks of the engine.
std::unique_ptr<Communicator> MakeMpiCommunicator(std::shared_ptr<MpiEngine> engine,
                                                  const CommunicatorOptions& options);

}  // namespace vesalius::dist
