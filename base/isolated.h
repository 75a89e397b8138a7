// Work in a process of its own: for libraries that end the program where a file is damaged.
#pragma once

#include <functional>
#include <string>

namespace vesalius {

// What `body` returns, run in a fork of this process; its Error comes back with code and text.
// Where the process ends otherwise (a signal, an assertion) or takes longer than `seconds`:
// Error(kInvalidData) saying so. What the process writes to standard error is dropped. Costs about
// a millisecond. `body` must not need other threads.
std::string RunIsolated(const std::function<std::string()>& body, int seconds = 60);

}  // namespace vesalius
