// The last values of a figure, with statistics that a few outliers do not move (Hampel, 1974).
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

namespace vesalius::trainer {

class RobustWindow {
 public:
  explicit RobustWindow(std::size_t capacity) : capacity_(capacity) {}

  void Add(double value);  // finite; the oldest value beyond the capacity leaves
  void Clear() { values_.clear(); }
  std::size_t size() const { return values_.size(); }
  const std::deque<double>& values() const { return values_; }

  double Median() const;  // of at least one value: the upper middle one
  // How far `value` lies above the median, in standard deviations estimated as 1.4826 MAD, which is
  // taken to be at least a hundredth of the median: a figure that hardly moves flags no trifle.
  double Score(double value) const;

 private:
  std::size_t capacity_;
  std::deque<double> values_;
};

}  // namespace vesalius::trainer
