// Reference data beside the project, which tests use where it is there and never copy.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace vesalius {

// VESALIUS_SHARED, else ../shared/data beside the source tree.
inline std::string SharedData(const std::string& relative) {
  if (const char* given = std::getenv("VESALIUS_SHARED")) return std::string(given) + "/" + relative;
  const char* source = std::getenv("VESALIUS_SOURCE");
  return std::string(source ? source : ".") + "/../shared/data/" + relative;
}

inline nlohmann::json ReadJson(const std::string& path) {
  std::ifstream in(path);
  return nlohmann::json::parse(in);
}

}  // namespace vesalius

// Leaves the test, saying so, where the reference data is absent.
#define VESALIUS_NEEDS_SHARED(path)           \
  if (!std::filesystem::exists(path))         \
  GTEST_SKIP() << "reference data not found: " << (path) << " (set VESALIUS_SHARED)"
