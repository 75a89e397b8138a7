// Times what is done one after another.
#pragma once

#include <chrono>
#include <utility>

namespace vesalius {

// Seconds since the last call, or since construction. Not thread-safe.
class Lap {
 public:
  double operator()() {
    const auto now = std::chrono::steady_clock::now();
    return std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace vesalius
