// `vesalius import chexzero`: images in one HDF5 data set and reports in a CSV whose rows go with
// them, as CheXzero's preprocessing leaves them (docs/importing.md, "chexzero").
#pragma once

#include <memory>
#include <string>

#include "data/import/importer.h"
#include "data/import/source.h"

namespace vesalius::data {

// `in` is the HDF5 file, or a folder with one (and, without `reports`, the one table with texts).
struct CheXzeroOptions : SourceOptions {
  std::string reports;      // CSV; empty = found beside the images
  std::string text_column;  // empty = impression, report, findings or text
};

// Errors: kInputMissing, kInvalidData, kConfig.
std::unique_ptr<Importer> OpenCheXzero(const CheXzeroOptions& options);

}  // namespace vesalius::data
