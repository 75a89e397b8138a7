// Where reference data that is not part of the tree lies, for tests that compare with it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace vesalius {

// $VESALIUS_SHARED, or `shared` beside the source tree; "" when `inside` is not there.
inline std::string SharedData(const std::string& inside) {
  const char* shared = std::getenv("VESALIUS_SHARED");
  const char* source = std::getenv("VESALIUS_SOURCE");
  std::string folder;
  if (shared != nullptr) {
    folder = shared;
  } else if (source != nullptr) {
    folder = std::string(source) + "/../shared";
  }
  const std::string path = folder + "/" + inside;
  return !folder.empty() && std::filesystem::exists(path) ? path : "";
}

}  // namespace vesalius
