#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/strings.h"
#include "data/inspect/letters.h"
#include "data/inspect/pictures.h"

namespace vesalius::data {
namespace {

using nlohmann::json;

constexpr std::uint32_t kPaper = 0xffffff, kInk = 0x202428, kFaint = 0xc8ced4, kBlue = 0x3a6ea5;
constexpr std::uint32_t kYes = 0xc8553d, kNo = 0x3a6ea5, kUnknown = 0xd9dde1;
constexpr int kMargin = 16, kLine = 18;                           // pixels
constexpr int kPanelWidth = 760, kPanelHeight = 250, kAxis = 56;  // of a distribution
constexpr int kLeastPlaces = 12;                                  // for bars of a distribution
constexpr int kNames = 250, kBars = 440, kFigures = 90;           // columns of a list of bars

Canvas Blank(int width, int height) {
  Canvas canvas{width, height, {}};
  canvas.rgb.resize(static_cast<std::size_t>(width) * height * 3);
  FillRect(canvas, 0, 0, width, height, kPaper);
  return canvas;
}

int TextWidth(std::string_view text) { return static_cast<int>(text.size()) * kLetterWidth; }

// A distribution as Lengths tells it, in the panel that begins at `top`.
void DrawDistribution(Canvas* canvas, int top, const std::string& title, const json& lengths) {
  const json& histogram = lengths.at("histogram");
  const std::vector<std::int64_t> counts = histogram.at("counts");
  const std::int64_t from = histogram.at("from"), step = histogram.at("step");
  const std::int64_t highest =
      std::max<std::int64_t>(1, *std::max_element(counts.begin(), counts.end()));
  const int left = kMargin + kAxis, width = kPanelWidth - left - kMargin;
  const int bottom = top + kPanelHeight - 44, height = kPanelHeight - 44 - 34;
  const auto bins = static_cast<int>(counts.size());
  const int places = std::max(bins, kLeastPlaces);
  DrawText(*canvas, left, top + 4,
           StrCat(title, ": least ", lengths.at("least").get<std::int64_t>(), ", median ",
                  lengths.at("median").get<std::int64_t>(), ", 95 % within ",
                  lengths.at("p95").get<std::int64_t>(), ", most ",
                  lengths.at("most").get<std::int64_t>()),
           kInk);
  for (const std::int64_t mark : {highest, highest / 2}) {
    if (mark == 0) continue;
    const int y = bottom - static_cast<int>(mark * height / highest);
    FillRect(*canvas, left, y, width, 1, kFaint);
    const std::string text = StrCat(mark);
    DrawText(*canvas, left - 6 - TextWidth(text), y - kLetterHeight / 2, text, kInk);
  }
  const int marks = std::max(1, (bins + 9) / 10);  // a label at every so many bins
  for (int bin = 0; bin <= bins; ++bin) {
    const int x = left + bin * width / places, next = left + (bin + 1) * width / places;
    if (bin < bins) {
      const std::int64_t count = counts[static_cast<std::size_t>(bin)];
      const int high = count == 0 ? 0 : std::max(1, static_cast<int>(count * height / highest));
      FillRect(*canvas, x + 1, bottom - high, std::max(1, next - x - 1), high, kBlue);
    }
    if (bin % marks != 0) continue;
    FillRect(*canvas, x, bottom, 1, 4, kInk);
    const std::string text = StrCat(from + bin * step);
    const int at = std::min(x - TextWidth(text) / 2, canvas->width - TextWidth(text) - 2);
    DrawText(*canvas, at, bottom + 6, text, kInk);
  }
  FillRect(*canvas, left, bottom, width, 1, kInk);
}

void DrawDistributions(const std::string& path,
                       const std::vector<std::pair<std::string, json>>& all) {
  std::vector<std::pair<std::string, json>> known;
  for (const auto& entry : all)
    if (!entry.second.is_null()) known.push_back(entry);
  if (known.empty()) return;
  Canvas canvas = Blank(kPanelWidth, kPanelHeight * static_cast<int>(known.size()));
  for (std::size_t i = 0; i < known.size(); ++i)
    DrawDistribution(&canvas, static_cast<int>(i) * kPanelHeight, known[i].first, known[i].second);
  WritePng(path, canvas);
}

// A bar of several parts, each with its colour.
struct Bar {
  std::string name;
  std::vector<std::pair<std::int64_t, std::uint32_t>> parts;
};

// Bars with a common scale, below a heading.
struct Group {
  std::string heading;
  std::vector<Bar> bars;
};

std::int64_t Sum(const Bar& bar) {
  std::int64_t sum = 0;
  for (const auto& part : bar.parts) sum += part.first;
  return sum;
}

// The first part's count stands behind its bar.
void DrawGroup(Canvas* canvas, int y, const Group& group) {
  std::int64_t highest = 1;
  for (const Bar& bar : group.bars) highest = std::max(highest, Sum(bar));
  DrawText(*canvas, kMargin, y, group.heading, kInk);
  for (const Bar& bar : group.bars) {
    y += kLine;
    const std::string name = Printable(bar.name, (kNames - 10) / kLetterWidth);
    DrawText(*canvas, kMargin + kNames - 10 - TextWidth(name), y, name, kInk);
    std::int64_t sum = 0;
    int x = kMargin + kNames;
    for (const auto& [count, colour] : bar.parts) {
      sum += count;
      const int end = kMargin + kNames + static_cast<int>(sum * kBars / highest);
      FillRect(*canvas, x, y + 1, end - x, kLine - 6, colour);
      x = end;
    }
    DrawText(*canvas, x + 6, y, StrCat(bar.parts[0].first), kInk);
  }
}

void DrawBars(const std::string& path, const std::vector<Group>& groups) {
  int lines = 0;
  for (const Group& group : groups) lines += static_cast<int>(group.bars.size()) + 2;
  Canvas canvas = Blank(kMargin * 2 + kNames + kBars + kFigures, kMargin + kLine * lines);
  int y = kMargin;
  for (const Group& group : groups) {
    DrawGroup(&canvas, y, group);
    y += kLine * (static_cast<int>(group.bars.size()) + 2);
  }
  WritePng(path, canvas);
}

Group CountsOf(const std::string& heading, const json& counts) {
  Group group{heading, {}};
  for (const auto& [name, count] : counts.items())
    group.bars.push_back({name, {{count.get<std::int64_t>(), kBlue}}});
  return group;
}

Group LabelsOf(const std::string& what, const json& labels) {
  Group group{what + ": yes (red, with its count), no (blue), unknown (grey)", {}};
  for (const auto& [name, label] : labels.items())
    group.bars.push_back(
        {name,
         {{label.at("yes"), kYes}, {label.at("no"), kNo}, {label.at("not_mentioned"), kUnknown}}});
  return group;
}

}  // namespace

void DrawHistograms(const json& found, const std::string& folder) {
  MakeDirs(folder);
  const json& sizes = found.at("sizes");
  DrawDistributions(folder + "/sizes.png", {{"width of the source, pixels", sizes.at("width")},
                                            {"height of the source, pixels", sizes.at("height")}});
  const json& reports = found.at("reports");
  DrawDistributions(folder + "/reports.png",
                    {{"report, characters", reports.at("characters")},
                     {"report, tokens", reports.at("tokens")},
                     {"sentences about regions", reports.at("sentences")}});
  DrawBars(folder + "/images.png", {CountsOf("images by split", found.at("splits")),
                                    CountsOf("images by view", found.at("views"))});
  Group boxes{"boxes by region", {}};
  for (int r = 0; r < kRegions; ++r)
    boxes.bars.push_back(
        {kRegionNames[r],
         {{found.at("regions").at(kRegionNames[r]).at("boxes"), RegionColour(r)}}});
  DrawBars(folder + "/boxes.png", {boxes});
  std::vector<Group> labels;
  for (const auto& [what, key] : {std::pair{"labels of images", "image_labels"},
                                  std::pair{"labels of regions", "region_labels"}})
    if (!found.at(key).empty()) labels.push_back(LabelsOf(what, found.at(key)));
  if (!labels.empty()) DrawBars(folder + "/labels.png", labels);
}

}  // namespace vesalius::data
