// CSV, TSV and JSON Lines: every row has a cell for every column.
#include "data/import/table.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vesalius::data::Table table;
  if (vesalius::fuzz::Accepts(
          [&] { table = vesalius::data::ParseTable(vesalius::fuzz::Text(data, size), "input"); }))
    for (const auto& row : table.rows)
      vesalius::fuzz::Check(row.cells.size() == table.columns.size() && row.line > 0);
  return 0;
}
