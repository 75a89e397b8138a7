// `vesalius import mimic-imagenome`: images and reports of MIMIC-CXR-JPG with the regions, phrases
// and attributes of Chest ImaGenome (docs/import-mimic-imagenome.md).
#pragma once

#include <memory>
#include <string>

#include "data/import/imagenome/image_list.h"
#include "data/import/imagenome/sources.h"
#include "data/import/importer.h"
#include "data/import/source.h"

namespace vesalius::data {

enum class ImageLabels { kAuto, kChexpert, kNegbio, kFindings };

// `in` is searched for whatever the folders do not give. The shares are not used: lists tell
// splits.
struct ImagenomeOptions : SourceOptions {
  std::string imagenome, images, reports;  // folders (sources.h); "" = found below `in`
  SplitSource splits = SplitSource::kImagenome;
  TestImages test = TestImages::kBoth;
  // Labels of whole images: a table of MIMIC-CXR-JPG, or the regions' findings (yes in any region).
  // kAuto: CheXpert's table if it is there, else NegBio's, else the findings.
  ImageLabels labels = ImageLabels::kAuto;
  int threads = 0;  // of the survey; 0 = one for each core
};

// Makes the list and the survey: reads every table and every annotation once. Errors:
// kInputMissing, kInvalidData, kConfig, with what to do.
std::unique_ptr<Importer> OpenImagenome(const ImagenomeOptions& options);

}  // namespace vesalius::data
