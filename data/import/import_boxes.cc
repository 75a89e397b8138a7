#include "data/import/import_boxes.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/strings.h"

namespace vesalius::data {
namespace {

using nlohmann::json;

// Four finite numbers.
std::array<double, 4> Numbers(const json& value, const std::string& what) {
  std::array<double, 4> numbers{};
  bool good = value.is_array() && value.size() == 4;
  for (std::size_t i = 0; good && i < 4; ++i) {
    good = value[i].is_number();
    if (good) numbers[i] = value[i].get<double>();
  }
  Require(good, ExitCode::kInvalidData, "the box of ", what, " is not a list of four numbers");
  return numbers;
}

// A whole number, also one written like 3.0; `what` says which.
std::int64_t Whole(const json& value, const char* what) {
  constexpr double kLargest = 9007199254740992;  // 2^53: every smaller one is exact
  if (value.is_number_integer()) return value.get<std::int64_t>();
  const double number = value.is_number() ? value.get<double>() : 0.5;
  Require(std::abs(number) < kLargest && number == std::floor(number), ExitCode::kInvalidData, what,
          " is no whole number: ", value.dump());
  return static_cast<std::int64_t>(number);
}

// A side of an image in pixels; 0 when it is not said.
int Side(const json& image, const char* key) {
  if (!image.contains(key)) return 0;
  const std::int64_t side = Whole(image[key], key);
  Require(side >= 0 && side <= INT32_MAX, ExitCode::kInvalidData, "an image has a ", key, " of ",
          side);
  return static_cast<int>(side);
}

PixelBox CornerBox(const std::string& region, const json& corners) {
  const auto [x0, y0, x1, y1] = Numbers(corners, StrCat("'", region, "'"));
  return {region, x0, y0, x1, y1, 0, 0};
}

std::string LastPart(const std::string& path) { return path.substr(path.find_last_of("/\\") + 1); }

// Fills the map from a parsed file; json's own exceptions tell of missing keys and wrong types.
void ReadCoco(const json& root, std::unordered_map<std::string, std::vector<PixelBox>>* boxes) {
  std::map<std::int64_t, std::string> categories;
  for (const json& category : root.at("categories"))
    categories[Whole(category.at("id"), "the id of a category")] = category.at("name");
  std::map<std::int64_t, const json*> images;
  for (const json& image : root.at("images")) {
    images[Whole(image.at("id"), "the id of an image")] = &image;
    (*boxes)[image.at("file_name")];
  }
  for (const json& annotation : root.at("annotations")) {
    const json& image = *images.at(Whole(annotation.at("image_id"), "an image_id"));
    const auto [x, y, w, h] = Numbers(annotation.at("bbox"), "an annotation");
    (*boxes)[image.at("file_name")].push_back(
        {categories.at(Whole(annotation.at("category_id"), "a category_id")), x, y, x + w, y + h,
         Side(image, "width"), Side(image, "height")});
  }
}

// Why the box cannot be used, or "". Clamps it to the image.
std::string Clamp(const Geometry& geometry, PixelBox* box) {
  const int width = geometry.original_width, height = geometry.original_height;
  if ((box->image_width > 0 && box->image_width != width) ||
      (box->image_height > 0 && box->image_height != height))
    return StrCat("was drawn on an image of ", box->image_width, " x ", box->image_height,
                  ", this one has ", width, " x ", height);
  if (!(box->x1 > box->x0 && box->y1 > box->y0)) return "has no area";
  box->x0 = std::clamp(box->x0, 0.0, double(width));
  box->x1 = std::clamp(box->x1, 0.0, double(width));
  box->y0 = std::clamp(box->y0, 0.0, double(height));
  box->y1 = std::clamp(box->y1, 0.0, double(height));
  if (!(box->x1 > box->x0 && box->y1 > box->y0))
    return StrCat("lies outside the image of ", width, " x ", height);
  return "";
}

Box ToStored(const PixelBox& box, const Geometry& geometry, int size) {
  const double scale = geometry.scale / size;
  const double left = static_cast<double>(geometry.pad_left) / size;
  const double top = static_cast<double>(geometry.pad_top) / size;
  return {static_cast<float>((box.x0 + box.x1) / 2 * scale + left),
          static_cast<float>((box.y0 + box.y1) / 2 * scale + top),
          static_cast<float>((box.x1 - box.x0) * scale),
          static_cast<float>((box.y1 - box.y0) * scale)};
}

}  // namespace

std::vector<PixelBox> ParseBoxesCell(const std::string& text) {
  std::vector<PixelBox> boxes;
  if (Trim(text).empty()) return boxes;
  const json value = json::parse(text, nullptr, false);
  if (value.is_object()) {
    for (const auto& [region, corners] : value.items()) boxes.push_back(CornerBox(region, corners));
    return boxes;
  }
  Require(value.is_array(), ExitCode::kInvalidData,
          "the boxes are neither a JSON object nor a list: ", text.substr(0, 60));
  for (const json& entry : value) {
    Require(entry.is_object() && entry.contains("region") && entry["region"].is_string() &&
                entry.contains("box"),
            ExitCode::kInvalidData, "a box in a list needs the keys 'region' and 'box'");
    boxes.push_back(CornerBox(entry["region"], entry["box"]));
  }
  return boxes;
}

bool SideBoxes::RecogniseCoco(const std::string& path) {
  const json root = json::parse(ReadFile(path), nullptr, false);
  return root.is_object() && root.contains("images") && root.contains("annotations") &&
         root.contains("categories");
}

SideBoxes SideBoxes::FromFile(const std::string& path) {
  SideBoxes result;
  const std::string bytes = ReadFile(path);
  const json root = json::parse(bytes, nullptr, false);
  if (root.is_discarded()) {
    result.boxes_ = ReadBoxTable(bytes, path);
  } else {
    try {
      ReadCoco(root, &result.boxes_);
    } catch (const std::exception& error) {  // ours, of json, or an id that nothing has
      Fail(ExitCode::kInvalidData, path, " does not hold COCO annotations: ", error.what());
    }
  }
  std::set<std::string> regions;
  for (const auto& [image, boxes] : result.boxes_)
    for (const PixelBox& box : boxes) regions.insert(box.region);
  WarnOfUnknownRegions(regions);
  return result;
}

void WarnOfUnknownRegions(const std::set<std::string>& regions) {
  std::vector<std::string> unknown;
  for (const std::string& region : regions)
    if (RegionId(region) < 0) unknown.push_back(region);
  if (!unknown.empty())
    log::Warning("boxes of regions that are not among the ", kRegions,
                 " known ones were passed over: ", Join(unknown, ", "));
}

std::vector<PixelBox> SideBoxes::Find(const std::string& image) const {
  const std::string last = LastPart(image);
  for (const std::string& name : {image, last, last.substr(0, last.find_last_of('.'))})
    if (const auto found = boxes_.find(name); found != boxes_.end()) return found->second;
  return {};
}

std::vector<std::string> SetBoxes(const std::vector<PixelBox>& boxes, Record* record) {
  std::vector<std::string> left_out;
  for (PixelBox box : boxes) {
    const int region = RegionId(box.region);
    if (region < 0) continue;
    const std::string fault = Clamp(record->geometry, &box);
    if (!fault.empty()) {
      left_out.push_back(StrCat("box '", box.region, "' ", fault));
      continue;
    }
    const Box stored = ToStored(box, record->geometry, record->image.width);
    Box& place = record->boxes[region];
    if (record->box_valid[region] && place.w * place.h >= stored.w * stored.h) continue;
    place = stored;
    record->box_valid[region] = 1;
  }
  return left_out;
}

}  // namespace vesalius::data
