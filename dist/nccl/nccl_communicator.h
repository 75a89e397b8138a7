// Collectives between GPUs by NCCL, through a table of functions. Initialisation and calls are
// non-blocking with a deadline; a watchdog polls the end event of every collective, the
// communicator's own error and the processes of the node, and aborts from one place. Wait() blocks
// the host until the collective has ended on the device, so that no result of a broken one is ever
// used.
#pragma once

#include <memory>

#include "dist/bootstrap.h"
#include "dist/communicator.h"
#include "dist/nccl/nccl_api.h"

namespace vesalius::dist::nccl {

// Collective over the ranks of `bootstrap`. Error(kPeerLost) when the deadline passes before all
// are there, Error(kConfig) when NCCL refuses (two ranks on one GPU).
std::unique_ptr<Communicator> MakeNcclCommunicator(std::shared_ptr<const Api> api, int device,
                                                   Bootstrap& bootstrap,
                                                   const CommunicatorOptions& options);

}  // namespace vesalius::dist::nccl
