// Float64 values carried exactly by a sum of float32 or float64 slots: every rank has slots of its
// own, zero on the others, so that the sum only transports; a float64 takes three float32 slots (24
// + 24 + 5 bits). What the caller wants summed is then added here, in float64, in rank order.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

namespace vesalius::dist {

// Slots that `flags` values of `ranks` ranks take in a buffer of this type.
std::int64_t FlagSlots(std::int64_t flags, int ranks, at::ScalarType type);

// This rank's values in a CPU tensor [FlagSlots(...)], the others' slots zero.
at::Tensor PackFlags(std::span<const double> flags, int rank, int ranks, at::ScalarType type);

// From the sum over ranks of packed tensors (on the CPU): all values, flag i of rank r at
// [r * flags + i].
std::vector<double> UnpackFlags(const at::Tensor& slots, std::int64_t flags, int ranks);

// From those: the sum of each flag, in rank order.
std::vector<double> FlagSums(std::span<const double> values, std::int64_t flags);
std::vector<double> UnpackFlagSums(const at::Tensor& slots, std::int64_t flags, int ranks);

}  // namespace vesalius::dist
