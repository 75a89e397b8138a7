// Seconds by phase of one training step, as metrics.jsonl reports them.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace vesalius::trainer {

class PhaseClock {
 public:
  void Mark(const char* phase) {
    const auto now = std::chrono::steady_clock::now();
    seconds_.emplace_back(phase, std::chrono::duration<double>(now - last_).count());
    last_ = now;
  }
  double total() const { return std::chrono::duration<double>(last_ - start_).count(); }
  const std::vector<std::pair<std::string, double>>& seconds() const { return seconds_; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now(), last_ = start_;
  std::vector<std::pair<std::string, double>> seconds_;
};

}  // namespace vesalius::trainer
