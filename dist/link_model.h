// What a collective takes by the latency-bandwidth model: every hop costs the latency of its link,
// every byte its share of the bandwidth (Thakur, Rabenseifner and Gropp, 2005). Inside a node and
// between nodes are two links; a collective that crosses nodes pays both in turn.
#pragma once

#include <cstdint>
#include <string>

#include "dist/request.h"

namespace vesalius::dist {

struct Link {
  double latency = 0;    // seconds a hop
  double bandwidth = 0;  // bytes a second, one direction
};

struct Links {
  Link node{2e-6, 10e9};       // shared memory or NVLink; the defaults are a CPU node's
  Link network{5e-6, 12.5e9};  // between nodes; the default is 100 Gb/s
};

// From the JSON that `./run bench links --json FILE` writes: the figures links.node.latency_us,
// links.node.bandwidth_GBps, links.mpi.latency_us and links.mpi.bandwidth_GBps (the network); what
// is absent keeps its default. Error(kInputMissing), Error(kInvalidData).
Links ReadLinks(const std::string& path);

// Seconds that one collective of `kind` takes on `nodes` x `ranks_per_node` ranks, of which this
// rank sends `bytes` in all and `bytes_between_nodes` of them to other nodes.
double Seconds(const Links& links, Kind kind, int nodes, int ranks_per_node, double bytes,
               double bytes_between_nodes);

}  // namespace vesalius::dist
