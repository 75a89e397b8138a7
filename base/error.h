// The one exception type. A message says what failed, on which file, rank or tensor, and what to
// do about it; the code becomes the process's exit status. Only main() catches it for good.
#pragma once

#include <stdexcept>
#include <string>

#include "base/exit_codes.h"
#include "base/strings.h"

namespace vesalius {

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// Throws Error(code) with the streamed parts joined.
template <typename... Parts>
[[noreturn]] void Fail(ExitCode code, const Parts&... parts) {
  throw Error(code, StrCat(parts...));
}

// Throws Error(code, parts) unless `condition` holds.
template <typename... Parts>
void Require(bool condition, ExitCode code, const Parts&... parts) {
  if (!condition) Fail(code, parts...);
}

// For invariants of our own code: a failure is a bug, exit 70.
template <typename... Parts>
void Invariant(bool condition, const Parts&... parts) {
  if (!condition) Fail(ExitCode::kBug, "internal error: ", parts...);
}

}  // namespace vesalius
