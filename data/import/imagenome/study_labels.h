// Labels of whole studies: the tables chexpert.csv and negbio.csv of MIMIC-CXR-JPG.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/import/table.h"

namespace vesalius::data {

struct StudyLabels {
  std::vector<std::string> names;  // the table's columns but for subject_id and study_id
  // By study: 1 (1.0), 0 (0.0) or -1 (-1.0, which means uncertain, or nothing said).
  std::unordered_map<std::string, std::vector<std::int8_t>> of_study;
};

StudyLabels ReadStudyLabels(const Table& table);

}  // namespace vesalius::data
