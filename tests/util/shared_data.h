// Reference data that is not part of the tree: tests use it where it is there and never copy it.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
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

inline nlohmann::json ReadJson(const std::string& path) {
  std::ifstream in(path);
  return nlohmann::json::parse(in);
}

}  // namespace vesalius

// Leaves the test, saying so, where the reference data is absent.
#define VESALIUS_NEEDS_SHARED(inside) \
  if (SharedData(inside).empty())     \
  GTEST_SKIP() << "reference data not found: " << (inside) << " (set VESALIUS_SHARED)"
