// Collectives between the processes of one node through shared memory. All-reduces of allocated
// memory (the gradient arena) happen in place: every rank adds one slice of all ranks' arrays, in
// rank order, and writes it to all; nothing is copied. Everything else is staged in pieces.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "dist/communicator.h"
#include "dist/peers.h"

namespace vesalius::dist {

class Bootstrap;

// True when all of `peers` can share memory.
bool OnOneNode(const std::vector<Peer>& peers);

// Collective over the ranks of `bootstrap`, all of one node. `on_failure` is called once, with the
// reason, when the communicator has failed. `backend`: what backend() says, a literal.
std::unique_ptr<Communicator> MakeNodeCommunicator(
    Bootstrap& bootstrap, const std::vector<Peer>& peers, const char* backend,
    const CommunicatorOptions& options, std::function<void(const std::string&)> on_failure);

}  // namespace vesalius::dist
