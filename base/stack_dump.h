// Where a process is, told on request: the agent asks a rank that hangs before it ends it. The
// answer goes to a file, written by a signal handler with calls that take no memory.
//
// Best effort: a process that is stopped, or hangs inside the loader's lock, does not answer.
// Static functions show as an offset in their library.
#pragma once

#include <string>
#include <vector>

namespace vesalius::stack {

// What to send; a thread that is free to take it answers, the main one first.
int Signal();

// From here on this process answers, to FOLDER/rank-N.stack. Call once. Error(kCannotCreate).
void AnswerIn(const std::string& folder, int rank);

// The calls of an answer, innermost first: "libc.so.6: clock_nanosleep+0x23". Empty as long as it
// is not there whole.
std::vector<std::string> Read(const std::string& folder, int rank);

}  // namespace vesalius::stack
