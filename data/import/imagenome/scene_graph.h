// What one image's annotation says, whichever file it comes from: a silver scene graph
// (<dicom_id>_SceneGraph.json of Chest ImaGenome) or rows of the gold tables. Regions are told by
// `bbox_name`, never by the long `name`; only what was found in the final report counts.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "data/import/import_boxes.h"
#include "data/record.h"

namespace vesalius::data {

// "category|yes or no|finding", in lower case.
struct Attribute {
  std::string category, finding;
  bool yes = false;
};

struct Phrase {
  std::string text;  // white space normalised, case kept; may be empty
  std::vector<Attribute> attributes;
};

struct GraphBox {
  PixelBox box;         // pixels of the original image; or, where the file lacks those,
  bool framed = false;  // of the 224 x 224 frame that the image is fitted into
};

struct SceneGraph {
  std::string image_id, patient_id, study_id, viewpoint;  // as written; empty where absent
  std::vector<GraphBox> boxes;
  std::array<std::vector<Phrase>, kRegions> phrases;  // texts and attributes of the final report
  std::vector<std::string> faults;  // what was passed over, and why; the first ones

  void AddFault(std::string fault);
  // Adds `text` with its attributes ("category|polarity|finding") to the region; malformed ones
  // become faults.
  void AddPhrase(int region, std::string_view text, const std::vector<std::string>& attributes);
  // Makes equal texts of a region (in lower case) one phrase with the attributes of all.
  void MergePhrases();
};

inline constexpr std::size_t kMostSceneGraphBytes = 16u << 20;  // real ones have some 40 kB

// Unusable when `bytes` are not UTF-8 or not JSON, lack a list, or have aligned lists of unequal
// length. Memory is bounded by a small multiple of the size.
SceneGraph ParseSceneGraph(std::string_view bytes);

// Whether a section's name means the final report.
bool IsFinalReport(std::string_view section);

// Runs of white space made one space, trimmed; the case is kept.
std::string Squeezed(std::string_view text);

}  // namespace vesalius::data
