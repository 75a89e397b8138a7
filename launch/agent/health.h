// Whether this node can take part in an attempt; asked before each one, in well under a second
// unless something is broken: a GPU or a shared folder may not answer at all.
#pragma once

#include <string>

namespace vesalius::launch {

// What is wrong, for people; "" when nothing is. Looks at: the run folder (can be written, its
// clock is within a second of ours, room for 1.2 times the newest checkpoint) and, if ranks may use
// them, this process's GPUs where there are any (they answer, and nobody else holds their memory).
// Thread-safe.
std::string NodeTrouble(const std::string& run, bool gpus);

}  // namespace vesalius::launch
