// Where the reference data of other programs lies: beside the source tree, or where VESALIUS_SHARED
// says. It is no part of the tree; tests that need it skip without it.
#pragma once

#include <cstdlib>
#include <string>

#include "base/file.h"

namespace vesalius {

// The path of `name` in it, or "" when it is absent.
inline std::string SharedData(const std::string& name) {
  const char* shared = std::getenv("VESALIUS_SHARED");
  const char* source = std::getenv("VESALIUS_SOURCE");
  const std::string root = shared ? shared : StrCat(source ? source : ".", "/../shared");
  const std::string path = StrCat(root, "/data/", name);
  return Exists(path) ? path : "";
}

}  // namespace vesalius
