// Range checks of configuration values, one a line; `key` is what people would type. Errors:
// kConfig, naming key, value and range, and where words are wanted the nearest one.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/strings.h"

namespace vesalius::trainer::check {

inline constexpr std::int64_t kMany = std::int64_t{1} << 40;  // more than anyone counts to

template <typename T>
void Range(const char* key, T value, T low, T high) {
  Require(value >= low && value <= high, ExitCode::kConfig, key, " = ", value, " is out of range [",
          low, ", ", high, "]");
}

inline void Number(const char* key, double value, double low, double high) {
  Require(std::isfinite(value), ExitCode::kConfig, key, " must be a finite number");
  Range(key, value, low, high);
}

inline void Multiple(const char* key, std::int64_t value, const char* of, std::int64_t divisor) {
  Require(value % divisor == 0, ExitCode::kConfig, key, " = ", value, " must be a multiple of ", of,
          " = ", divisor);
}

// What `value` stands for among `choices`.
template <typename T>
T Choice(const char* key, const std::string& value,
         const std::vector<std::pair<std::string, T>>& choices) {
  std::vector<std::string> names;
  for (const auto& [name, meaning] : choices) {
    if (name == value) return meaning;
    names.push_back(name);
  }
  Fail(ExitCode::kConfig, key, " = '", value, "' must be one of ", Join(names, ", "),
       DidYouMean(value, names));
}

inline void OneOf(const char* key, const std::string& value,
                  const std::vector<std::string>& names) {
  std::vector<std::pair<std::string, bool>> choices;
  for (const std::string& name : names) choices.emplace_back(name, true);
  Choice(key, value, choices);
}

}  // namespace vesalius::trainer::check
