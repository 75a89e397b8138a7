// The ways to meet that MakeBootstrap() chooses from.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "dist/bootstrap.h"
#include "dist/communicator.h"

namespace vesalius::dist {

// What the ranks of RunLocalRanks share, or the one rank of a process alone.
class LocalWorld;
std::shared_ptr<LocalWorld> MakeLocalWorld(int size);
std::unique_ptr<Bootstrap> MakeLocalBootstrap(std::shared_ptr<LocalWorld> world, int rank);
void AbortLocalWorld(LocalWorld& world, const std::string& reason);

// Initialises MPI; `expected_size` as the launcher's environment has it, 0 when it says nothing.
// Ranks of one node communicate through shared memory unless `share_memory` is false (tests of the
// way between nodes).
std::unique_ptr<Bootstrap> MakeMpiBootstrap(int expected_size, bool share_memory = true);
// Over MPI between all ranks, wherever they are; of a bootstrap that the above made.
std::unique_ptr<Communicator> MakeFlatCommunicator(Bootstrap& bootstrap,
                                                   const CommunicatorOptions& options);

// Ranks are plain processes that share `folder`, which must be fresh: one folder an attempt.
// `limit` bounds every exchange: Error(kPeerLost) after it, or as soon as a rank of this node is
// dead.
std::unique_ptr<Bootstrap> MakeFileBootstrap(const std::string& folder, int rank, int size,
                                             std::chrono::milliseconds limit);

}  // namespace vesalius::dist
