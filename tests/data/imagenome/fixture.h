// An imagined MIMIC-CXR-JPG with Chest ImaGenome, in the shape that the data sets' own
// documentation gives, with every irregularity that is known of them; and the oracle: what a reader
// must make of it. Nothing in it comes from a patient. See fixture_files.h on independence.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace imagenome_fixture {

struct Request {
  std::string folder;  // receives mimic-cxr-jpg/, mimic-cxr-reports/ and chest-imagenome/
  int patients = 150;  // with about two studies each; a tenth of them in the gold set
  std::uint64_t seed = 1;
  int side = 64;  // of the stored square for which the oracle gives boxes
};

// Writes the files and returns the oracle:
//   "images": a list of {"image_id", "patient_id", "study_id", "out": kind of reason or "" when it
//   is
//     imported, "kept": [[kind, words of the reason] ...]} and, for those that are imported,
//     {"split", "view", "report", "width", "height", "boxes": {region: [cx, cy, w, h]},
//     "sentences": {region: [[text, statement] ...]}, "labels": {region: {"category|finding":
//     0/1}}, "abnormal": {region: 0/1}, "chexpert": [14 values]}; a statement is
//     "category|finding|0/1", "normal|0", "abnormal|1" or "free";
//   "findings": every "category|finding"; "can": {region: ["category|finding" ...]};
//   "chexpert": the names of the labels.
nlohmann::json Write(const Request& request);

}  // namespace imagenome_fixture
