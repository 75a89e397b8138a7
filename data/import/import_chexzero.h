// `vesalius import chexzero`: the layout of CheXzero (Tiu et al., Nature Biomedical Engineering
// 2022): one HDF5 file with all images as `cxr` [N, H, W], and a CSV whose n-th row tells of the
// n-th image (docs/importing.md).
#pragma once

#include <memory>
#include <string>

#include "data/import/importer.h"
#include "data/import/source.h"

namespace vesalius::data {

struct ChexzeroOptions : SourceOptions {
  std::string reports;  // the CSV; "": the only table beside the HDF5 file
};

// `in`: the HDF5 file, or a folder that holds one. Errors: kInputMissing; kInvalidData (no images,
// no column, another number of rows than images); kConfig.
std::unique_ptr<Importer> OpenChexzero(const ChexzeroOptions& options);

}  // namespace vesalius::data
