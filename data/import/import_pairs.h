// `vesalius import pairs`: a CSV or JSONL of image paths and texts becomes a data set
// (docs/data.md).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace vesalius::data {

struct ImportPairsOptions {
  std::string in;   // a CSV/JSONL file, or a folder that holds one
  std::string out;  // data set folder
  // Names of columns; empty = recognised by the usual names (image, path, filename, file_name ...;
  // text, report, caption, clinical_notes ...; patient, patientid, patient_id, subject_id ...;
  // split).
  std::string image_column, text_column, patient_column, split_column;
  std::string boxes;  // COCO JSON with boxes of named regions; empty = found beside the table
  std::string vocab;  // vocab.txt; empty = a WordPiece vocabulary learnt from the training texts
  int size = 64;      // side of the stored square, pixels
  double valid_share = 0, test_share = 0.2;  // of the patients, where the table has no split
  std::uint64_t seed = 1;                    // of the split
  std::function<void(std::int64_t done, std::int64_t total)> progress;  // may be empty
};

struct Quarantined {
  std::string source;  // table, line and image
  std::string reason;
  bool kept = false;  // the pair was imported; only a box of it was left out
};

struct ImportReport {
  std::int64_t read = 0, written = 0, with_boxes = 0;
  std::int64_t patients = 0;
  std::vector<Quarantined> quarantined;  // also written to OUT/quarantine.jsonl
};

// What cannot be read is quarantined and the import goes on; the images are stored grey. Errors:
// kInputMissing, kInvalidData (no usable row, no such column), kConfig (a value out of range),
// kCannotCreate. Nothing partial stays under the data set's name.
ImportReport ImportPairs(const ImportPairsOptions& options);

}  // namespace vesalius::data
