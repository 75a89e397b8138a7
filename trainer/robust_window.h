// The last values of a figure, with statistics that a few outliers do not move (Hampel, 1974).
#pragma once

#include <cstddef>
#include <vector>

namespace vesalius::trainer {

class RobustWindow {
 public:
  explicit RobustWindow(std::size_t capacity) : capacity_(capacity) {}

  void Add(double value);  // finite; the oldest value beyond the capacity leaves
  void Clear();
  std::size_t size() const { return ring_.size(); }
  std::vector<double> values() const;  // the oldest first

  double Median() const;  // of at least one value: the upper middle one
  // How far `value` lies above the median, in standard deviations estimated as 1.4826 MAD, which is
  // taken to be at least a hundredth of the median: a figure that hardly moves flags no trifle.
  double Score(double value) const;

 private:
  std::size_t capacity_, oldest_ = 0;
  std::vector<double> ring_;
  mutable std::vector<double> scratch_;  // sorted in part; kept for its memory
};

}  // namespace vesalius::trainer
