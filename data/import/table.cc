#include "data/import/table.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"
#include "data/text/utf8.h"

namespace vesalius::data {
namespace {

// Cuts separated text into rows of cells.
class CsvScanner {
 public:
  CsvScanner(std::string_view text, char separator) : text_(text), separator_(separator) {}

  // The next row; blank lines are passed over. False at the end.
  bool Next(TableRow* row) {
    do {
      if (at_ >= text_.size()) return false;
      *row = TableRow();
      row->line = line_;
      while (Cell(row)) {
      }
    } while (row->cells.size() == 1 && row->cells[0].empty());
    return true;
  }

 private:
  // Reads one cell and what ends it; true when another cell of the row follows.
  bool Cell(TableRow* row) {
    std::string cell;
    if (at_ < text_.size() && text_[at_] == '"') Quoted(row, &cell);
    while (at_ < text_.size() && text_[at_] != separator_ && text_[at_] != '\n')
      cell += text_[at_++];
    const bool more = at_ < text_.size() && text_[at_] == separator_;
    if (!more && cell.ends_with('\r')) cell.pop_back();
    if (at_ < text_.size() && text_[at_++] == '\n') ++line_;
    row->cells.push_back(std::move(cell));
    return more;
  }

  void Quoted(TableRow* row, std::string* cell) {
    ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '\n') ++line_;
      if (c != '"') {
        *cell += c;
      } else if (at_ < text_.size() && text_[at_] == '"') {
        *cell += text_[at_++];
      } else {
        return;
      }
    }
    row->error = "a quote is opened but never closed";
  }

  std::string_view text_;
  char separator_;
  std::size_t at_ = 0;
  std::int64_t line_ = 1;
};

Table ParseCsv(std::string_view text, const std::string& name) {
  const std::string_view header = text.substr(0, text.find('\n'));
  const bool tabs =
      header.find('\t') != std::string_view::npos && header.find(',') == std::string_view::npos;
  CsvScanner scanner(text, tabs ? '\t' : ',');
  Table table;
  TableRow row;
  Require(scanner.Next(&row) && row.error.empty(), ExitCode::kInvalidData, name,
          " has no header line: the first line must name the columns");
  for (const std::string& cell : row.cells) table.columns.emplace_back(Trim(cell));
  while (scanner.Next(&row)) {
    if (row.error.empty() && row.cells.size() != table.columns.size())
      row.error = StrCat(row.cells.size(), " cells under a header of ", table.columns.size());
    row.cells.resize(table.columns.size());
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string JsonCell(const nlohmann::json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  return value.dump();
}

Table ParseJsonLines(std::string_view text) {
  Table table;
  std::int64_t line = 0;
  for (const std::string& source : vesalius::Split(text, '\n')) {
    ++line;
    if (Trim(source).empty()) continue;
    TableRow row;
    row.line = line;
    const nlohmann::json value = nlohmann::json::parse(source, nullptr, false);
    if (value.is_object()) {
      for (const auto& [key, cell] : value.items()) {
        const auto found = std::find(table.columns.begin(), table.columns.end(), key);
        const auto column = static_cast<std::size_t>(found - table.columns.begin());
        if (found == table.columns.end()) table.columns.push_back(key);
        if (row.cells.size() <= column) row.cells.resize(column + 1);
        row.cells[column] = JsonCell(cell);
      }
    } else {
      row.error = value.is_discarded() ? "the line is not valid JSON" : "the line is not an object";
    }
    table.rows.push_back(std::move(row));
  }
  for (TableRow& row : table.rows) row.cells.resize(table.columns.size());
  return table;
}

}  // namespace

int Table::Column(std::string_view name) const {
  const std::string wanted = Lower(Trim(name));
  for (std::size_t i = 0; i < columns.size(); ++i)
    if (Lower(columns[i]) == wanted) return static_cast<int>(i);
  return -1;
}

Table ParseTable(std::string_view bytes, const std::string& name) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (bytes.starts_with(kByteOrderMark)) bytes.remove_prefix(kByteOrderMark.size());
  const std::string_view start = Trim(bytes);
  Require(!start.empty(), ExitCode::kInvalidData, name, " is empty: a table was expected");
  const std::string_view header = start.substr(0, start.find('\n'));
  Require(ValidUtf8(header) && header.find('\0') == std::string_view::npos, ExitCode::kInvalidData,
          name, " is no table: its first line is no UTF-8 text (CSV, TSV or JSON lines are read)");
  return start.front() == '{' ? ParseJsonLines(bytes) : ParseCsv(bytes, name);
}

Table ReadTable(const std::string& path) { return ParseTable(ReadFile(path), path); }

}  // namespace vesalius::data
