// How many files a process may hold open. Shards, shared-memory files and sockets add up, and the
// soft limit that a user gets is often 1,024, a default for programs that use select().
#pragma once

#include <cstdint>

namespace vesalius {

inline constexpr std::uint64_t kOpenFilesWanted = 4096;

// Raises the soft limit to kOpenFilesWanted, or as far as the hard limit lets. No further: some MPI
// launchers close every descriptor that they may have, one by one.
void RaiseOpenFiles();

}  // namespace vesalius
