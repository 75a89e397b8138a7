// The gold annotations of Chest ImaGenome: boxes and statements that people checked, from
// gold_bbox_coordinate_annotations_1000images.csv and gold_object_attribute_with_coordinates.txt.
#pragma once

#include <string>
#include <unordered_map>

#include "data/import/imagenome/scene_graph.h"
#include "data/import/imagenome/sources.h"

namespace vesalius::data {

// By image id. A statement's category, finding and polarity are its columns categoryID, label_name
// and context (else relation, 1 or 0), or one column attribute with all three. Rows that cannot be
// used become faults of their image. Error(kInvalidData) when a table lacks a column.
std::unordered_map<std::string, SceneGraph> ReadGold(const ImagenomeSources& sources);

}  // namespace vesalius::data
