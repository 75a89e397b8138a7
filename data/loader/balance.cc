#include "data/loader/balance.h"

#include <algorithm>
#include <numeric>
#include <queue>
#include <tuple>

#include "data/loader/order.h"

namespace vesalius::data {

std::vector<std::size_t> BalancedRows(std::span<const std::int64_t> lengths, int rank, int ranks) {
  const auto rows = static_cast<std::int64_t>(lengths.size());
  std::vector<std::size_t> longest_first(lengths.size());
  std::iota(longest_first.begin(), longest_first.end(), std::size_t{0});
  std::ranges::stable_sort(longest_first,
                           [&](std::size_t a, std::size_t b) { return lengths[a] > lengths[b]; });
  using Load = std::tuple<std::int64_t, int, std::int64_t>;  // tokens, rank, room left
  std::priority_queue<Load, std::vector<Load>, std::greater<>> loads;
  for (int r = 0; r < ranks; ++r) {
    const PositionRange share = RankSlice(0, rows, r, ranks);
    if (share.end > share.begin) loads.emplace(0, r, share.end - share.begin);
  }
  std::vector<std::size_t> mine;
  for (const std::size_t row : longest_first) {
    const auto [tokens, to, room] = loads.top();
    loads.pop();
    if (to == rank) mine.push_back(row);
    if (room > 1) loads.emplace(tokens + lengths[row], to, room - 1);
  }
  std::ranges::sort(mine);
  return mine;
}

}  // namespace vesalius::data
