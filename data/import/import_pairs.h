// `vesalius import pairs`: a CSV or JSONL of image paths and texts becomes a data set
// (docs/importing.md).
#pragma once

#include <memory>
#include <string>

#include "data/import/importer.h"
#include "data/import/source.h"

namespace vesalius::data {

// `in` is a CSV/JSONL file, or a folder that holds one; without `boxes` a COCO file beside the
// table is taken.
struct PairsOptions : SourceOptions {
  // Names of columns; empty = recognised by the usual names (image, path, filename, file_name ...;
  // text, report, caption, clinical_notes ...; patient, patientid, patient_id, subject_id ...;
  // split).
  std::string image_column, text_column, patient_column, split_column;
};

// Errors: kInputMissing, kInvalidData (no such column), kConfig (a value out of range).
std::unique_ptr<Importer> OpenPairs(const PairsOptions& options);

}  // namespace vesalius::data
