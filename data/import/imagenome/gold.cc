#include "data/import/imagenome/gold.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/strings.h"
#include "data/import/imagenome/image_list.h"
#include "data/text/utf8.h"

namespace vesalius::data {
namespace {

using Graphs = std::unordered_map<std::string, SceneGraph>;

std::optional<std::array<double, 4>> Edges(const Table& table, const TableRow& row,
                                           const std::string& prefix) {
  std::array<double, 4> out{};
  constexpr std::array<const char*, 4> kNames = {"x1", "y1", "x2", "y2"};
  for (std::size_t i = 0; i < 4; ++i) {
    const std::string cell = CellsOf(table, prefix + kNames[i])(row);
    const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), out[i]);
    if (cell.empty() || error != std::errc() || end != cell.data() + cell.size() ||
        !std::isfinite(out[i]))
      return std::nullopt;
  }
  return out;
}

void ReadBoxes(const ImagenomeSources& sources, Graphs* graphs) {
  const Table table = sources.Read("gold-boxes", {"image_id", "bbox_name"});
  for (const TableRow& row : table.rows) {
    SceneGraph& graph = (*graphs)[WithoutDcm(CellsOf(table, "image_id")(row))];
    const std::string region = CellsOf(table, "bbox_name")(row);
    auto edges = Edges(table, row, "original_");
    const bool framed = !edges;
    if (framed) edges = Edges(table, row, "");
    if (row.error.empty() && edges)
      graph.boxes.push_back(
          {{region, (*edges)[0], (*edges)[1], (*edges)[2], (*edges)[3], 0, 0}, framed});
    else
      graph.AddFault(StrCat("gold box '", region, "' in line ", row.line, ": ",
                            row.error.empty() ? "its coordinates are no numbers" : row.error));
  }
}

// "category|polarity|finding" of one row.
std::string Statement(const Table& table, const TableRow& row) {
  const std::string whole = CellsOf(table, "attribute")(row);
  if (std::count(whole.begin(), whole.end(), '|') == 2) return whole;
  const std::string name = CellsOf(table, "label_name")(row);
  std::string polarity = CellsOf(table, "context")(row);
  if (polarity.empty()) {
    const std::string relation = CellsOf(table, "relation")(row);
    polarity = relation == "1" ? "yes" : relation == "0" ? "no" : relation;
  }
  return StrCat(CellsOf(table, "categoryID")(row), "|", polarity, "|", name.empty() ? whole : name);
}

void ReadStatements(const ImagenomeSources& sources, Graphs* graphs) {
  const Table table = sources.Read("gold-attributes", {"image_id", "bbox"});
  const bool has_sections = table.Column("section") >= 0;
  for (const TableRow& row : table.rows) {
    SceneGraph& graph = (*graphs)[WithoutDcm(CellsOf(table, "image_id")(row))];
    const std::string statement = Statement(table, row), sentence = CellsOf(table, "sentence")(row);
    if (!row.error.empty() || !ValidUtf8(statement) || !ValidUtf8(sentence)) {
      graph.AddFault(StrCat("gold statement in line ", row.line, ": ",
                            row.error.empty() ? "it is not UTF-8" : row.error));
      continue;
    }
    const int region = RegionId(CellsOf(table, "bbox")(row));
    if (region >= 0 && (!has_sections || IsFinalReport(CellsOf(table, "section")(row))))
      graph.AddPhrase(region, sentence, {statement});
  }
}

}  // namespace

std::unordered_map<std::string, SceneGraph> ReadGold(const ImagenomeSources& sources) {
  Graphs graphs;
  ReadBoxes(sources, &graphs);
  ReadStatements(sources, &graphs);
  graphs.erase("");  // rows without an image
  for (auto& [image, graph] : graphs) {
    graph.image_id = image;
    graph.MergePhrases();
  }
  return graphs;
}

}  // namespace vesalius::data
