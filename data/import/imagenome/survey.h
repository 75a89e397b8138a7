// The first pass over all annotations, in parallel: which findings the data name, of which regions,
// and texts for a vocabulary of word pieces. Its result does not depend on the number of threads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/import/imagenome/image_list.h"
#include "data/import/imagenome/statements.h"
#include "data/import/imagenome/study_files.h"

namespace vesalius::data {

struct ImagenomeSurvey {
  FindingIndex findings;
  std::vector<std::uint8_t> can;   // [regions * findings]: some annotation says yes or no of it
  std::vector<std::string> texts;  // reports of training images, at most kMostTexts
  std::string digest;              // of the annotations' bytes
};

inline constexpr std::size_t kMostTexts = 20'000;

// Annotations that cannot be read are passed over: the conversion tells of them. `threads` >= 1.
ImagenomeSurvey SurveyImagenome(const StudyFiles& files, const std::vector<ListedImage>& images,
                                int threads);

}  // namespace vesalius::data
