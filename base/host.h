// The machine that this process runs on.
#pragma once

#include <string>

namespace vesalius {

// As gethostname() has it. Thread-safe, as is the next.
std::string HostName();

// Of the machine since it was started, the same in all its containers; the host's name where the
// system tells none.
std::string MachineId();

}  // namespace vesalius
