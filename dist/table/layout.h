// How a table [rows, width] lies on the ranks. Rows: contiguous ranges of rows. Columns: every row,
// a range of its columns (whole blocks). Replicated: everything everywhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vesalius::dist {

inline constexpr std::int64_t kColumnBlock = 16;  // values of a row that one rank has together
inline std::int64_t ColumnBlocks(std::int64_t width) {
  return (width + kColumnBlock - 1) / kColumnBlock;
}

enum class TableStrategy { kReplicated, kRows, kColumns };
const char* Name(TableStrategy strategy);  // "replicated", "rows", "columns"

// The part of a table that a rank holds.
struct TableBlock {
  std::int64_t row = 0, rows = 0;  // [row, row + rows)
  std::int64_t column = 0, columns = 0;
};

struct TableLayout {
  TableStrategy strategy = TableStrategy::kReplicated;
  std::int64_t rows = 0, width = 0;
  int ranks = 1;

  TableBlock Block(int rank) const;
  // Which rank holds row `row` when sharded by rows.
  int OwnerOfRow(std::int64_t row) const { return static_cast<int>(row / RowsEach()); }

 private:
  std::int64_t RowsEach() const { return rows == 0 ? 1 : (rows + ranks - 1) / ranks; }
};

}  // namespace vesalius::dist
