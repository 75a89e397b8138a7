// Standard output as a file that can fail (closed, full, a reader that went away), and a progress
// line.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace vesalius::launch {

// Makes sure that descriptors 0 to 2 are taken, so that no file which is opened later becomes the
// standard output of a program started without one. Call first thing in main().
void GuardStandardStreams();

// Writes to standard output. Error(kCannotCreate) when that is seen to fail.
void Print(std::string_view text);

// Flushes all that was written to standard output by any means. Error(kCannotCreate) when any of it
// was lost.
void FlushOutput();

// A callback that keeps people informed on standard error: one living line on a terminal, a line at
// every quarter elsewhere. "phantom: 1200 of 4000".
std::function<void(std::int64_t done, std::int64_t total)> ProgressLine(const std::string& what);

}  // namespace vesalius::launch
