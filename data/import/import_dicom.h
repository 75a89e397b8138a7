// `vesalius import dicom`: the films of a folder of DICOM files, with the reports of a table where
// there is one (docs/importing.md).
#pragma once

#include <memory>
#include <string>

#include "data/import/importer.h"
#include "data/import/source.h"

namespace vesalius::data {

struct DicomOptions : SourceOptions {
  std::string reports;  // CSV, TSV or JSON Lines with a text for each image, study or file; or ""
};

// `in`: a folder, searched through, or one file. Each header is read now, pixels by Convert().
// Errors: kInputMissing, kInvalidData (no DICOM file, no usable column), kConfig.
std::unique_ptr<Importer> OpenDicom(const DicomOptions& options);

}  // namespace vesalius::data
