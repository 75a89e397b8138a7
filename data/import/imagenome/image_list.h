// Which images an import of Chest ImaGenome has, of whom, and in which split: the lists of Chest
// ImaGenome and MIMIC-CXR-JPG put together, with what keeps an image out.
//
// A gold image is in the test split. The images to avoid and whatever else gold patients have are
// left out. A patient belongs to one split: the most held-out one in which the list has him (test,
// then valid, then train); his images that are listed elsewhere are left out.
#pragma once

#include <string>
#include <vector>

#include "data/import/imagenome/sources.h"
#include "data/record.h"

namespace vesalius::data {

enum class SplitSource { kImagenome, kMimic };
enum class TestImages { kBoth, kGold, kSilver };

struct ListedImage {
  std::string image_id, study_id, patient_id;
  Split split = Split::kTrain;
  View view = View::kUnknown;
  bool gold = false;
  int columns = 0, rows = 0;          // of the image as published; 0 = not said
  std::string problem, problem_kind;  // why it is left out; empty for those that are imported

  // The patient's folder and the study in it: "p10/p10000032/s50414267".
  std::string StudyPath() const;
};

// In the order of patients, studies and images. Without a list of Chest ImaGenome's splits MIMIC's
// count. Errors: kInputMissing (no list to tell the splits),
// kInvalidData (a list lacks a column).
std::vector<ListedImage> ListImages(const ImagenomeSources& sources, SplitSource splits,
                                    TestImages test);

// An image id as the gold tables write it ("<dicom>.dcm") without its ending.
std::string WithoutDcm(std::string_view name);

}  // namespace vesalius::data
