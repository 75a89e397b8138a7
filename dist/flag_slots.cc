#include "dist/flag_slots.h"

#include <ATen/ATen.h>

#include <cmath>

namespace vesalius::dist {
namespace {

std::int64_t Parts(at::ScalarType type) { return type == at::kDouble ? 1 : 3; }

}  // namespace

std::int64_t FlagSlots(std::int64_t flags, int ranks, at::ScalarType type) {
  return flags * ranks * Parts(type);
}

at::Tensor PackFlags(std::span<const double> flags, int rank, int ranks, at::ScalarType type) {
  const auto n = static_cast<std::int64_t>(flags.size());
  at::Tensor slots = at::zeros({FlagSlots(n, ranks, type)}, at::kDouble);
  double* out = slots.mutable_data_ptr<double>() + rank * n * Parts(type);
  for (std::int64_t i = 0; i < n; ++i) {
    double rest = flags[i];
    for (std::int64_t part = 0; part < Parts(type); ++part) {
      const double value = type == at::kDouble ? rest : static_cast<float>(rest);
      out[i * Parts(type) + part] = value;
      rest = std::isfinite(value) ? rest - value : 0;
    }
  }
  return slots.to(type);
}

std::vector<double> UnpackFlags(const at::Tensor& slots, std::int64_t flags, int ranks) {
  const std::int64_t parts = Parts(slots.scalar_type());
  const at::Tensor wide = slots.to(at::kDouble).contiguous();
  const double* in = wide.const_data_ptr<double>();
  std::vector<double> values(static_cast<std::size_t>(flags * ranks), 0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    // Smallest first: the two sums are exact.
    for (std::int64_t part = parts; part-- > 0;) values[i] += in[i * parts + part];
  }
  return values;
}

std::vector<double> FlagSums(std::span<const double> values, std::int64_t flags) {
  std::vector<double> sums(static_cast<std::size_t>(flags), 0);
  for (std::size_t i = 0; i < values.size(); ++i) sums[i % sums.size()] += values[i];
  return sums;
}

std::vector<double> UnpackFlagSums(const at::Tensor& slots, std::int64_t flags, int ranks) {
  return FlagSums(UnpackFlags(slots, flags, ranks), flags);
}

}  // namespace vesalius::dist
