#include "dist/table/layout.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace vesalius::dist {
namespace {

// Part `rank` of [0, total) cut into pieces of `each`.
std::pair<std::int64_t, std::int64_t> Range(std::int64_t total, std::int64_t each, int rank) {
  const std::int64_t begin = std::min(total, each * rank), end = std::min(total, begin + each);
  return {begin, end - begin};
}

}  // namespace

const char* Name(TableStrategy strategy) {
  switch (strategy) {
    case TableStrategy::kReplicated:
      return "replicated";
    case TableStrategy::kRows:
      return "rows";
    default:
      return "columns";
  }
}

TableBlock TableLayout::Block(int rank) const {
  TableBlock block{0, rows, 0, width};
  if (strategy == TableStrategy::kRows) {
    std::tie(block.row, block.rows) = Range(rows, RowsEach(), rank);
  } else if (strategy == TableStrategy::kColumns) {
    const std::int64_t each = (ColumnBlocks(width) + ranks - 1) / ranks * kColumnBlock;
    std::tie(block.column, block.columns) = Range(width, each, rank);
  }
  return block;
}

}  // namespace vesalius::dist
