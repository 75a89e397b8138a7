// Logging facade. Only log.cc includes glog, because c10 and glog define the same macros and the
// last include would win. Messages go to stderr and, once a folder is given, to a file per rank.
#pragma once

#include <string>

#include "base/strings.h"

namespace vesalius::log {

enum class Level { kInfo, kWarning, kError };

// Call once, first thing in main().
void Init(const char* program);

// From here on messages also go to `folder`/rank-NNNN.log (appended). Ranks other than 0 print
// only errors on the screen. Thread-safe.
void OpenFile(const std::string& folder, int rank);

// Thread-safe. Never throws and never ends the process.
void Write(Level level, const std::string& message);

template <typename... Parts>
void Info(const Parts&... parts) {
  Write(Level::kInfo, StrCat(parts...));
}
template <typename... Parts>
void Warning(const Parts&... parts) {
  Write(Level::kWarning, StrCat(parts...));
}
template <typename... Parts>
void Failure(const Parts&... parts) {
  Write(Level::kError, StrCat(parts...));
}

}  // namespace vesalius::log
