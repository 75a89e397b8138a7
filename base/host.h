// The machine that this process runs on.
#pragma once

#include <string>

namespace vesalius {

// As gethostname() has it. Thread-safe.
std::string HostName();

}  // namespace vesalius
