// Nodes that a run keeps away from for a while: RUN/slurm/badnodes.json, a list of objects {node,
// reason, count, until}. A node that fails again is avoided for twice as long.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vesalius::slurm {

struct BadNode {
  std::string node, reason;
  int count = 1;           // failures
  std::int64_t until = 0;  // seconds since 1970
};

// The list of a run, also of entries that are over; empty without a file. A damaged file is
// Error(kInvalidData).
std::vector<BadNode> ReadBadNodes(const std::string& run);
void WriteBadNodes(const std::string& run, const std::vector<BadNode>& nodes);

// Notes a failure at `now`: avoided for 1 h, 2 h, 4 h, ... at most 24 h.
void AddBadNode(std::vector<BadNode>* nodes, const std::string& node, const std::string& reason,
                std::int64_t now);

// Which to exclude from a job of `needed` nodes in a partition of `total`: those that failed most
// and latest, at most a fifth of the partition (one at least), and never so many that the job
// cannot start.
std::vector<std::string> NodesToExclude(std::vector<BadNode> nodes, std::int64_t now, int needed,
                                        int total);

// The node that RUN/failure.json, the supervisor's verdict, blames; "" when there is none, or when
// an attempt has begun since.
std::string BlamedNode(const std::string& run);

}  // namespace vesalius::slurm
