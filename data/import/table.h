// Tables of texts: CSV by RFC 4180 (quoted commas, quotes and line ends; CRLF or LF; a byte order
// mark; empty header cells), the same with tabs, and JSON Lines. Told apart by content, not by
// extension.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vesalius::data {

struct TableRow {
  std::int64_t line = 0;  // where it begins in the file, from 1
  std::vector<std::string>
      cells;          // [columns]; JSON values other than strings as JSON text, null as ""
  std::string error;  // when not empty the row cannot be used, and this says why
};

struct Table {
  std::vector<std::string> columns;  // as written; trimmed
  std::vector<TableRow> rows;

  // Index of the column, by name without regard to case; -1 when there is none.
  int Column(std::string_view name) const;
};

// `name` is for messages. A row that does not fit (wrong number of cells, broken JSON) is kept with
// its error; a table without a header is Error(kInvalidData).
Table ParseTable(std::string_view bytes, const std::string& name);

// Error(kInputMissing) when it cannot be read.
Table ReadTable(const std::string& path);

}  // namespace vesalius::data
