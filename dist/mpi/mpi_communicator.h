// Collectives of CPU memory over Open MPI.
#pragma once

#include <memory>

#include "dist/communicator.h"
#include "dist/mpi/engine.h"

namespace vesalius::dist {

// Collective over all ranks of the engine.
std::unique_ptr<Communicator> MakeMpiCommunicator(std::shared_ptr<MpiEngine> engine,
                                                  const CommunicatorOptions& options);

}  // namespace vesalius::dist
