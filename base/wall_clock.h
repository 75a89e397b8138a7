// Seconds since 1970, for what people and other machines compare; jumps when the clock is set.
#pragma once

#include <chrono>
#include <ctime>

namespace vesalius {

inline double WallNow() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Of a file's time.
inline double WallSeconds(const timespec& time) {
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace vesalius
