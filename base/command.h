// Other programs, run to their end within a time: Slurm's commands, mpirun.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace vesalius {

struct CommandResult {
  int status = -1;  // exit status; 128 + signal; 127 not found; 124 ended because it took too long
  std::string output;  // standard output
  std::string errors;  // standard error
  bool ok() const { return status == 0; }
};

// Starts words[0], searched in PATH, and waits. What takes longer than `limit` is killed. Thread-
// safe. Throws Error(kBug) when no process can be made.
CommandResult RunCommand(const std::vector<std::string>& words, std::chrono::seconds limit);

// Is there such a program in PATH?
bool HaveProgram(const std::string& name);

// `word` as a shell reads it back: quoted where it must be.
std::string ShellQuote(const std::string& word);

}  // namespace vesalius
