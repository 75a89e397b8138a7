// Which rows of a step go to which rank.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace vesalius::data {

// The rows of `rank`, ascending: as many as RankSlice gives it, chosen so that the sums of
// `lengths` (tokens of each row of the step) are close between ranks: the longest rows first, each
// to the rank with the least so far that has room. A function of its arguments, the same
// everywhere; the ranks' shares join to the whole step.
std::vector<std::size_t> BalancedRows(std::span<const std::int64_t> lengths, int rank, int ranks);

}  // namespace vesalius::data
