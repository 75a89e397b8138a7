#include "dist/order_rider.h"

#include <ATen/ATen.h>

#include "dist/flag_slots.h"

namespace vesalius::dist {

std::vector<double> WithOrder(std::span<const double> flags, const Communicator& comm) {
  const std::uint64_t hash = comm.OrderHash();
  std::vector<double> all(flags.begin(), flags.end());
  all.push_back(static_cast<double>(hash >> 32));
  all.push_back(static_cast<double>(hash & 0xFFFFFFFF));
  return all;
}

std::vector<double> CheckOrder(Communicator& comm, const at::Tensor& slots, std::int64_t flags) {
  const std::int64_t all = flags + kOrderFlags;
  const std::vector<double> values = UnpackFlags(slots, all, comm.size());
  bool same = true;
  for (std::size_t r = 0; r < values.size(); r += all) {
    for (std::int64_t i = flags; i < all; ++i) same = same && values[r + i] == values[i];
  }
  if (!same) comm.CompareOrder();
  std::vector<double> sums = FlagSums(values, all);
  sums.resize(static_cast<std::size_t>(flags));
  return sums;
}

}  // namespace vesalius::dist
