// The order check where nothing rides with the data: the running hash of all calls rides as two
// flags (flag_slots.h) in an exchange that happens anyway.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "dist/communicator.h"

namespace vesalius::dist {

inline constexpr std::int64_t kOrderFlags = 2;

// `flags` and the hash of the calls so far, which must be the same number of calls on every rank.
std::vector<double> WithOrder(std::span<const double> flags, const Communicator& comm);

// From the summed slots of PackFlags(WithOrder(flags)): the sums of `flags` flags. Where ranks'
// calls differed, all ranks throw Error(kBug) that names the first difference.
std::vector<double> CheckOrder(Communicator& comm, const at::Tensor& slots, std::int64_t flags);

}  // namespace vesalius::dist
