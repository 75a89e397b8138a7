// What one node tells of itself: limits, shared memory, disk, libraries, GPUs. No other process is
// needed, and nothing stays behind.
#pragma once

#include <string>

#include "slurm/finding.h"

namespace vesalius::slurm {

// `folder`: where runs are to be kept.
Findings CheckNode(const std::string& folder);

// What Slurm's settings mean for us; nothing where there is no Slurm.
Findings CheckSlurm();

// The address of this host's own name, "" when it does not resolve.
std::string OwnAddress();
bool IsLoopback(const std::string& address);

}  // namespace vesalius::slurm
