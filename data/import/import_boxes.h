// Boxes of named regions as people store them, and their way into a record: pixels of the original
// image in, normalised centre and extent in the stored square out (docs/data.md, "Boxes").
#pragma once

#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/record.h"

namespace vesalius::data {

struct PixelBox {
  std::string region;                     // as written
  double x0 = 0, y0 = 0, x1 = 0, y1 = 0;  // edges in pixels of the original image
  int image_width = 0, image_height = 0;  // of the image that they were drawn on; 0 = not said
};

// The boxes of one table cell: {"left lung": [x0, y0, x1, y1], ...} or
// [{"region": "left lung", "box": [x0, y0, x1, y1]}, ...]. Anything else: Error(kInvalidData).
std::vector<PixelBox> ParseBoxesCell(const std::string& json);

// A side file of boxes, by image: COCO annotations, or a table (CSV, TSV, JSON Lines) with a box a
// row (docs/importing.md, "Boxes").
class SideBoxes {
 public:
  SideBoxes() = default;
  // Warns once of regions that are not among the known ones. Errors: kInputMissing, kInvalidData.
  static SideBoxes FromFile(const std::string& path);
  // Whether the file looks like COCO annotations (an object with images, annotations, categories).
  static bool RecogniseCoco(const std::string& path);

  // By the name as written in the source, else by its last part, else by that without extension.
  std::vector<PixelBox> Find(const std::string& image) const;

 private:
  std::unordered_map<std::string, std::vector<PixelBox>> boxes_;
};

// The boxes of a table with columns for image, region and four edges, or corner and extent.
std::unordered_map<std::string, std::vector<PixelBox>> ReadBoxTable(const std::string& bytes,
                                                                    const std::string& name);

// Warns, with their names, of regions that are not among the known ones.
void WarnOfUnknownRegions(const std::set<std::string>& regions);

// Puts `boxes` into the record, whose geometry is set: clamped to the image, the larger one where a
// region has several. Boxes of unknown regions are passed over. Returns one sentence for each other
// box that was left out: outside the image, without area, or drawn on an image of another size.
std::vector<std::string> SetBoxes(const std::vector<PixelBox>& boxes, Record* record);

}  // namespace vesalius::data
