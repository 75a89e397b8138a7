#include "data/import/imagenome/study_labels.h"

#include <cstdlib>

#include "base/error.h"
#include "base/strings.h"
#include "data/import/imagenome/sources.h"
#include "data/text/utf8.h"

namespace vesalius::data {

StudyLabels ReadStudyLabels(const Table& table) {
  StudyLabels out;
  std::vector<std::size_t> columns;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const std::string name = Lower(table.columns[i]);
    if (name.empty() || name == "subject_id" || name == "study_id") continue;
    Require(ValidUtf8(name), ExitCode::kInvalidData, "a column of the study labels is not UTF-8");
    columns.push_back(i);
    out.names.push_back(table.columns[i]);
  }
  const CellsOf study(table, "study_id");
  for (const TableRow& row : table.rows) {
    if (!row.error.empty()) continue;
    std::vector<std::int8_t>& labels = out.of_study[study(row)];
    for (const std::size_t column : columns) {
      const std::string cell(Trim(row.cells[column]));
      const double value = std::atof(cell.c_str());
      labels.push_back(cell.empty() || (value != 0 && value != 1)
                           ? std::int8_t{-1}
                           : static_cast<std::int8_t>(value));
    }
    labels.resize(columns.size());  // of a study that is listed twice the first row counts
  }
  return out;
}

}  // namespace vesalius::data
