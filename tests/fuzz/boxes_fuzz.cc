// Boxes of a table cell and of a side file (COCO or a table), put into a record: what gets in lies
// in the image.
#include <cmath>

#include "data/import/import_boxes.h"
#include "tests/fuzz/fuzz.h"

namespace {

using vesalius::data::PixelBox;

void Put(const std::vector<PixelBox>& boxes) {
  vesalius::data::Record record;
  record.image.width = record.image.height = 32;
  record.geometry = {640, 480, 0.05f, 0, 4};
  vesalius::data::SetBoxes(boxes, &record);
  for (int region = 0; region < vesalius::data::kRegions; ++region) {
    if (!record.box_valid[region]) continue;
    const auto& box = record.boxes[region];
    for (const float value : {box.cx, box.cy, box.w, box.h})
      vesalius::fuzz::Check(std::isfinite(value) && value >= 0 && value <= 1.001f);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(vesalius::fuzz::Text(data, size));
  vesalius::fuzz::Accepts([&] { Put(vesalius::data::ParseBoxesCell(text)); });
  const vesalius::fuzz::MemoryFile file(text);
  vesalius::fuzz::Accepts([&] {
    vesalius::data::SideBoxes::RecogniseCoco(file.path());
    Put(vesalius::data::SideBoxes::FromFile(file.path()).Find("a/b.png"));
  });
  return 0;
}
