#include "trainer/robust_window.h"

#include <algorithm>
#include <cmath>

namespace vesalius::trainer {
namespace {

double MiddleOf(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

void RobustWindow::Add(double value) {
  if (ring_.size() < capacity_) {
    ring_.push_back(value);
  } else {
    ring_[oldest_] = value;
    oldest_ = (oldest_ + 1) % capacity_;
  }
}

void RobustWindow::Clear() {
  ring_.clear();
  oldest_ = 0;
}

std::vector<double> RobustWindow::values() const {
  std::vector<double> values = ring_;
  std::rotate(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(oldest_), values.end());
  return values;
}

double RobustWindow::Median() const {
  scratch_ = ring_;
  return MiddleOf(scratch_);
}

double RobustWindow::Score(double value) const {
  const double median = Median();
  for (double& other : scratch_) other = std::abs(other - median);
  const double deviation = std::max({1.4826 * MiddleOf(scratch_), 0.01 * std::abs(median), 1e-12});
  return (value - median) / deviation;
}

}  // namespace vesalius::trainer
