// Reads what belongs to one listed image: annotation, report and picture. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "data/import/imagenome/image_list.h"
#include "data/import/imagenome/scene_graph.h"
#include "data/import/imagenome/sources.h"

namespace vesalius::data {

class StudyFiles {
 public:
  explicit StudyFiles(ImagenomeSources sources);

  // The gold annotations of a gold image, else its scene graph. Unusable (scene_graph_files.h).
  // `digest`, where wanted, names the scene graph's bytes.
  SceneGraph Annotation(const ListedImage& image, std::uint64_t* digest = nullptr) const;
  // The study's text that is learnt from (mimic_report.h). Unusable when there is none.
  std::string Report(const ListedImage& image) const;
  // The decoded picture. Unusable when it is missing or damaged.
  Image Picture(const ListedImage& image) const;

 private:
  ImagenomeSources sources_;
  std::unordered_map<std::string, SceneGraph> gold_;
};

}  // namespace vesalius::data
