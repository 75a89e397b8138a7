#include "trainer/robust_window.h"

#include <algorithm>
#include <cmath>

namespace vesalius::trainer {
namespace {

double MiddleOf(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

void RobustWindow::Add(double value) {
  values_.push_back(value);
  if (values_.size() > capacity_) values_.pop_front();
}

double RobustWindow::Median() const { return MiddleOf({values_.begin(), values_.end()}); }

double RobustWindow::Score(double value) const {
  const double median = Median();
  std::vector<double> distances;
  for (const double other : values_) distances.push_back(std::abs(other - median));
  const double deviation =
      std::max({1.4826 * MiddleOf(std::move(distances)), 0.01 * std::abs(median), 1e-12});
  return (value - median) / deviation;
}

}  // namespace vesalius::trainer
