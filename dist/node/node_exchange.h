// How one collective moves through the shared memory of a node. All-reduces of allocated memory
// (the gradient arena) happen in place: every rank adds one slice of all ranks' arrays, in rank
// order, and writes it to all; nothing is copied. Everything else is staged in pieces.
#pragma once

#include "dist/node/node_group.h"
#include "dist/node/segments.h"
#include "dist/request.h"

namespace vesalius::dist {

constexpr std::size_t kShareFrom = 64 << 10;  // bytes: smaller arrays are staged

// Returns when it has ended on this rank: the moment when the last rank had arrived. The deadline
// counts from `begin`, about now. Throws as NodeGroup::Step. One thread at a time.
Clock::time_point RunOnNode(NodeGroup& group, Segments& segments, const Request& request,
                            Clock::time_point begin, std::chrono::milliseconds deadline);

}  // namespace vesalius::dist
