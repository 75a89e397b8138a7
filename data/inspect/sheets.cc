#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/strings.h"
#include "data/inspect/letters.h"
#include "data/inspect/pictures.h"

namespace vesalius::data {
namespace {

constexpr int kColumns = 5, kRows = 4, kSheets = 2;
constexpr int kCell = 288, kGap = 14, kCaption = 2 * kLetterHeight + 6;  // pixels
constexpr int kLegendColumns = 6, kLegendLine = 18;
constexpr std::uint32_t kPaper = 0x14181c, kInk = 0xf0f0f0, kFaint = 0x9aa4ae;

constexpr const char* kViewNames[] = {"view unknown", "AP", "PA", "lateral"};

int LegendHeight() { return (kRegions + kLegendColumns - 1) / kLegendColumns * kLegendLine + kGap; }

// The picture with its boxes in a square of kCell pixels; boxes are drawn last, one pixel wide.
Canvas CellOf(const Record& record) {
  Record resized = record;
  Geometry geometry;
  resized.image = ResizePad(record.image, kCell, &geometry);
  return PictureOf(resized, 1);
}

void Paste(const Canvas& from, Canvas* to, int x, int y) {
  for (int row = 0; row < from.height; ++row)
    std::copy_n(from.rgb.begin() + static_cast<std::ptrdiff_t>(row) * from.width * 3,
                from.width * 3,
                to->rgb.begin() + (static_cast<std::ptrdiff_t>(y + row) * to->width + x) * 3);
}

void DrawLegend(Canvas* sheet, int top) {
  const int width = (sheet->width - 2 * kGap) / kLegendColumns;
  for (int region = 0; region < kRegions; ++region) {
    const int x = kGap + region % kLegendColumns * width;
    const int y = top + region / kLegendColumns * kLegendLine;
    FillRect(*sheet, x, y + 2, 10, 10, RegionColour(region));
    DrawText(*sheet, x + 16, y, kRegionNames[region], kInk);
  }
}

void DrawCell(const Record& record, std::int64_t index, Canvas* sheet, int x, int y) {
  Paste(CellOf(record), sheet, x, y);
  constexpr std::size_t kMost = kCell / kLetterWidth;
  const auto boxes = std::count_if(record.box_valid.begin(), record.box_valid.end(),
                                   [](std::uint8_t valid) { return valid != 0; });
  const std::string id = StrCat(index, "  ");
  DrawText(*sheet, x, y + kCell + 3, id + Printable(record.image_id, kMost - id.size()), kInk);
  const std::string facts =
      StrCat(SplitName(record.split), ", ", kViewNames[static_cast<int>(record.view)], ", ", boxes,
             boxes == 1 ? " box, patient " : " boxes, patient ");
  DrawText(*sheet, x, y + kCell + 3 + kLetterHeight,
           facts + Printable(record.patient_id, kMost - facts.size()), kFaint);
}

// Walks over all shards as if they were one.
Record ReadAt(const std::vector<std::unique_ptr<ShardReader>>& shards, std::int64_t index) {
  std::size_t shard = 0;
  while (index >= shards[shard]->records()) index -= shards[shard++]->records();
  return shards[shard]->Read(index);
}

}  // namespace

std::uint32_t RegionColour(int region) {
  // Steps of 9 / 29 put both the next region and the other side's (8 further on) far away.
  const double hue = region * 9 % kRegions * 6.0 / kRegions;
  const auto channel = [&](double offset) {
    const double k = std::fmod(offset + hue, 6.0);
    return static_cast<std::uint32_t>(255 * (1 - std::clamp(std::min(k, 4 - k), 0.0, 1.0)));
  };
  return channel(5) << 16 | channel(3) << 8 | channel(1);
}

Canvas PictureOf(const Record& record, int zoom) {
  Canvas canvas = ToCanvas(record.image, zoom);
  for (int region = 0; region < kRegions; ++region) {
    if (!record.box_valid[region]) continue;
    const Box& box = record.boxes[region];
    DrawBox(canvas, (box.cx - box.w / 2) * canvas.width, (box.cy - box.h / 2) * canvas.height,
            (box.cx + box.w / 2) * canvas.width, (box.cy + box.h / 2) * canvas.height,
            RegionColour(region));
  }
  return canvas;
}

void DrawSheets(const std::vector<std::unique_ptr<ShardReader>>& shards,
                const std::string& folder) {
  constexpr std::int64_t kPerSheet = kColumns * kRows;
  std::int64_t records = 0;
  for (const auto& shard : shards) records += shard->records();
  const std::int64_t shown = std::min(records, kPerSheet * kSheets);
  MakeDirs(folder);
  for (std::int64_t first = 0; first < shown; first += kPerSheet) {
    const int count = static_cast<int>(std::min(shown - first, kPerSheet));
    const int rows = (count + kColumns - 1) / kColumns;
    Canvas sheet{kColumns * (kCell + kGap) + kGap,
                 rows * (kCell + kCaption + kGap) + kGap + LegendHeight(),
                 {}};
    sheet.rgb.resize(static_cast<std::size_t>(sheet.width) * sheet.height * 3);
    FillRect(sheet, 0, 0, sheet.width, sheet.height, kPaper);
    for (int i = 0; i < count; ++i) {
      const std::int64_t index = (first + i) * records / shown;
      DrawCell(ReadAt(shards, index), index, &sheet, kGap + i % kColumns * (kCell + kGap),
               kGap + i / kColumns * (kCell + kCaption + kGap));
    }
    DrawLegend(&sheet, sheet.height - LegendHeight());
    WritePng(StrCat(folder, "/sheet-", first / kPerSheet + 1, ".png"), sheet);
  }
}

}  // namespace vesalius::data
