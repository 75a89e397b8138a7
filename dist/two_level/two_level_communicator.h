// Collectives of CPU memory between ranks of several nodes (two_level_exchange.h); its splits may
// lie on one node or on several.
#pragma once

#include <memory>

#include "dist/bootstrap.h"
#include "dist/mpi/engine.h"

namespace vesalius::dist {

// Collective over all ranks of the engine, which are those of the bootstrap.
std::unique_ptr<Communicator> MakeTwoLevelCommunicator(std::shared_ptr<MpiEngine> engine,
                                                       Bootstrap& bootstrap,
                                                       const CommunicatorOptions& options);

}  // namespace vesalius::dist
