#include <array>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/strings.h"
#include "data/import/import_boxes.h"
#include "data/import/table.h"

namespace vesalius::data {
namespace {

const std::vector<std::string> kImageNames = {"image",    "image_id",  "imageid", "dicom_id",
                                              "filename", "file_name", "path",    "image_path"};
const std::vector<std::string> kRegionColumns = {"region", "bbox_name", "label", "class_name",
                                                 "class",  "category",  "name"};

// Four columns, as edges or as corner and extent.
struct Layout {
  std::array<const char*, 4> columns;
  bool extent;
};
constexpr Layout kLayouts[] = {
    {{"original_x1", "original_y1", "original_x2", "original_y2"}, false},
    {{"xmin", "ymin", "xmax", "ymax"}, false},
    {{"x_min", "y_min", "x_max", "y_max"}, false},
    {{"x0", "y0", "x1", "y1"}, false},
    {{"x1", "y1", "x2", "y2"}, false},
    {{"x", "y", "width", "height"}, true},
    {{"x", "y", "w", "h"}, true},
};

int First(const Table& table, const std::vector<std::string>& names) {
  for (const std::string& name : names)
    if (const int column = table.Column(name); column >= 0) return column;
  return -1;
}

std::string_view Cell(const TableRow& row, int column) {
  return column < 0 ? std::string_view() : Trim(row.cells[static_cast<std::size_t>(column)]);
}

double Number(const TableRow& row, int column, const std::string& name) {
  const std::string_view cell = Cell(row, column);
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  Require(error == std::errc() && end == cell.data() + cell.size() && std::isfinite(value),
          ExitCode::kInvalidData, name, ", line ", row.line, ": '", cell,
          "' is not a number; a box needs four");
  return value;
}

}  // namespace

std::unordered_map<std::string, std::vector<PixelBox>> ReadBoxTable(const std::string& bytes,
                                                                    const std::string& name) {
  const Table table = ParseTable(bytes, name);
  const int image = First(table, kImageNames), region = First(table, kRegionColumns);
  std::array<int, 4> at{};
  const Layout* layout = nullptr;
  for (const Layout& candidate : kLayouts) {
    bool all = true;
    for (std::size_t i = 0; all && i < at.size(); ++i)
      all = (at[i] = table.Column(candidate.columns[i])) >= 0;
    if (all) {
      layout = &candidate;
      break;
    }
  }
  Require(image >= 0 && region >= 0 && layout != nullptr, ExitCode::kInvalidData, name,
          " is no table of boxes: it needs columns image, region and x0, y0, x1, y1 (or x, y, "
          "width, height); its columns are: ",
          Join(table.columns, ", "));
  const int width = table.Column("image_width"), height = table.Column("image_height");
  std::unordered_map<std::string, std::vector<PixelBox>> boxes;
  for (const TableRow& row : table.rows) {
    Require(row.error.empty(), ExitCode::kInvalidData, name, ", line ", row.line, ": ", row.error);
    bool empty = true;  // such rows say that an image has no box
    for (const int column : at) empty = empty && Cell(row, column).empty();
    if (empty) continue;
    std::array<double, 4> v{};
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = Number(row, at[i], name);
    PixelBox box{std::string(Cell(row, region)), v[0], v[1], v[2], v[3], 0, 0};
    if (layout->extent) {
      box.x1 += v[0];
      box.y1 += v[1];
    }
    if (!Cell(row, width).empty()) box.image_width = static_cast<int>(Number(row, width, name));
    if (!Cell(row, height).empty()) box.image_height = static_cast<int>(Number(row, height, name));
    boxes[std::string(Cell(row, image))].push_back(std::move(box));
  }
  return boxes;
}

}  // namespace vesalius::data
