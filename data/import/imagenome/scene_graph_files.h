// The folder of silver scene graphs, one file an image.
#pragma once

#include <string>
#include <vector>

#include "data/import/imagenome/image_list.h"
#include "data/import/imagenome/scene_graph.h"

namespace vesalius::data {

// Image ids of the files `folder` holds; none when it is "".
std::vector<std::string> ListSceneGraphs(const std::string& folder);

// Reads the graph of `image`. Its `digest`, where wanted, names the file's bytes. Unusable when it
// is missing, too large, not readable (scene_graph.h), or says that it is of another image, study
// or patient.
SceneGraph ReadSceneGraph(const std::string& folder, const ListedImage& image,
                          std::uint64_t* digest = nullptr);

}  // namespace vesalius::data
