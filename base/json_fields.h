// Fields of JSON objects that others wrote, or that a kill or a hand has changed: what is missing,
// or of another type than it should be, is `otherwise`.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace vesalius {

inline double NumberOr(const nlohmann::json& object, const char* key, double otherwise) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : otherwise;
}

inline std::string TextOr(const nlohmann::json& object, const char* key,
                          const std::string& otherwise) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : otherwise;
}

}  // namespace vesalius
