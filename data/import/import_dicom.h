// `vesalius import dicom`: a folder of DICOM files, with a table of reports where there is one
// (docs/importing.md, "dicom"). Names and identifiers of people are not copied: patients and
// studies get numbers.
#pragma once

#include <memory>
#include <string>

#include "data/import/importer.h"
#include "data/import/source.h"

namespace vesalius::data {

// `in` is a folder, looked through with all below it, or one file.
struct DicomOptions : SourceOptions {
  // Table with a text column and one of: image (path below `in`, file name with or without
  // extension, SOP Instance UID) or study (Study Instance UID). Empty = each text is modality, body
  // part and view.
  std::string reports;
};

// Errors: kInputMissing, kInvalidData, kConfig.
std::unique_ptr<Importer> OpenDicom(const DicomOptions& options);

}  // namespace vesalius::data
