// The table of `vesalius import pairs`: found in a folder, its columns recognised.
#pragma once

#include <string>

#include "data/import/import_pairs.h"
#include "data/import/table.h"

namespace vesalius::data {

struct PairsTable {
  std::string path, folder;  // of the table
  Table table;
  // Indices into the table's columns; -1 where there is none.
  int image = -1, text = -1, patient = -1, study = -1, split = -1, view = -1, boxes = -1;
};

// Finds and reads the table that `options.in` means. In a folder: metadata.csv or metadata.jsonl,
// else the one table with an image and a text column. Errors: kInputMissing, kInvalidData.
PairsTable ReadPairsTable(const PairsOptions& options);

// The COCO file that belongs to the table: `options.boxes`, else the one found beside it, else "".
// Several beside it: Error(kInvalidData).
std::string FindBoxesFile(const PairsOptions& options, const PairsTable& table);

}  // namespace vesalius::data
