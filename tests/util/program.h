// Runs shell lines and tells how they ended, for tests of the program as people use it.
#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace vesalius {

struct Outcome {
  int status = -1;     // exit status, or 128 + signal
  std::string output;  // standard output and error together, in order
};

// `vesalius` in the lines may be written "$VESALIUS_PROGRAM", which ctest sets.
inline Outcome Shell(const std::string& lines) {
  Outcome outcome;
  std::FILE* pipe = ::popen(("exec 2>&1\n" + lines).c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  std::size_t n;
  while ((n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0) outcome.output.append(buffer, n);
  const int status = ::pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

}  // namespace vesalius
