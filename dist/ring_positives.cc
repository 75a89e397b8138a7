#include "dist/ring_positives.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "dist/gather.h"

namespace vesalius::dist {
namespace {

at::Tensor Positions(const std::vector<std::int64_t>& flat, at::Device device) {
  return flat.empty() ? at::Tensor() : at::tensor(flat, at::kLong).to(device);
}

}  // namespace

KeyPositives::KeyPositives(Communicator& comm, std::string_view name, const at::Tensor& keys,
                           const std::vector<std::int64_t>& rows, Extra extra)
    : first_(std::accumulate(rows.begin(), rows.begin() + comm.rank(), std::int64_t{0})),
      extra_(extra),
      device_(keys.device()) {
  const at::Tensor all = GatherRowsDetached(comm, name, keys, rows).cpu();
  const std::int64_t* values = all.const_data_ptr<std::int64_t>();
  mine_.assign(values + first_, values + first_ + keys.size(0));
  for (const std::int64_t key : mine_) columns_[key];
  for (std::int64_t j = 0; j < all.size(0); ++j)
    if (const auto found = columns_.find(values[j]); found != columns_.end())
      found->second.push_back(j);
}

TilePairs KeyPositives::At(std::int64_t row0, std::int64_t row1, std::int64_t column0,
                           std::int64_t column1) const {
  std::vector<std::int64_t> positive, ignored;
  const std::int64_t width = column1 - column0;
  for (std::int64_t i = row0; i < row1; ++i) {
    const std::int64_t own = first_ + i, base = (i - row0) * width - column0;
    if (mine_.empty()) {
      if (own >= column0 && own < column1) positive.push_back(base + own);
      continue;
    }
    const std::vector<std::int64_t>& same = columns_.at(mine_[i]);
    for (auto j = std::lower_bound(same.begin(), same.end(), column0);
         j != same.end() && *j < column1; ++j)
      (*j == own || extra_ == Extra::kShare ? positive : ignored).push_back(base + *j);
  }
  return {Positions(positive, device_), Positions(ignored, device_)};
}

}  // namespace vesalius::dist
