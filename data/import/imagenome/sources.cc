#include "data/import/imagenome/sources.h"

#include <algorithm>
#include <cctype>
#include <deque>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"
#include "data/import/gzip.h"

namespace vesalius::data {
namespace {

constexpr int kDeepest = 6;                   // folders below the one that was given
constexpr std::size_t kMostFolders = 10'000;  // looked into

bool IsPatientGroup(const std::string& name) {  // "p10"
  return name.size() == 3 && name[0] == 'p' && std::isdigit(static_cast<unsigned char>(name[1])) &&
         std::isdigit(static_cast<unsigned char>(name[2]));
}

// What a file is, by its name and its folder's; "" for others.
std::string Role(std::string name, const std::string& folder) {
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  if (folder == "splits" && (name == "train.csv" || name == "valid.csv" || name == "test.csv"))
    return name.substr(0, name.size() - 4);
  if (name == "images_to_avoid.csv") return "avoid";
  if (name == "cxr-record-list.csv" || name == "cxr-record-list_view.csv") return "record-list";
  if (name == "gold_bbox_coordinate_annotations_1000images.csv") return "gold-boxes";
  if (name == "gold_object_attribute_with_coordinates.txt") return "gold-attributes";
  if (name.starts_with("mimic-cxr-"))
    for (const char* part : {"split", "metadata", "chexpert", "negbio"})
      if (name.ends_with(StrCat("-", part, ".csv"))) return part;
  return "";
}

struct Found {
  std::vector<std::string> roots;
  std::string scene_graphs;
  std::map<std::string, std::string> tables;
};

// Folders from the top down, each in the order of its names: what is found first counts. Neither
// the patients' folders nor the scene graphs are entered.
Found Search(const std::string& top) {
  Require(IsDir(top), ExitCode::kInputMissing, top, " is not a folder");
  Found found;
  std::deque<std::pair<std::string, int>> folders = {{top, 0}};
  for (std::size_t looked = 0; !folders.empty() && looked < kMostFolders; ++looked) {
    const auto [folder, depth] = folders.front();
    folders.pop_front();
    const std::string folder_name = std::filesystem::path(folder).filename();
    if (folder_name == "scene_graph") {
      if (found.scene_graphs.empty()) found.scene_graphs = folder;
      continue;
    }
    bool has_patients = false;
    std::map<std::string, bool> entries;  // name -> whether it is a folder
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error))
      entries[entry.path().filename()] = entry.is_directory(error);
    for (const auto& [name, is_folder] : entries) {
      const std::string path = StrCat(folder, "/", name);
      if (is_folder && IsPatientGroup(name)) {
        has_patients = true;
      } else if (is_folder && depth < kDeepest) {
        folders.emplace_back(path, depth + 1);
      } else if (const std::string role = Role(name, folder_name); !is_folder && !role.empty()) {
        found.tables.emplace(role, path);
      }
    }
    if (has_patients) found.roots.push_back(folder);
  }
  return found;
}

}  // namespace

std::string CellsOf::operator()(const TableRow& row) const {
  return at_ < 0 ? "" : std::string(Trim(row.cells[static_cast<std::size_t>(at_)]));
}

Table ImagenomeSources::Read(const std::string& role,
                             const std::vector<std::string>& needed) const {
  const auto path = tables.find(role);
  if (path == tables.end()) return {};
  Table table = ParseTable(Gunzip(ReadFile(path->second), path->second), path->second);
  for (const std::string& column : needed)
    Require(table.Column(column) >= 0, ExitCode::kInvalidData, path->second, " has no column ",
            column);
  return table;
}

ImagenomeSources FindImagenome(const ImagenomeFolders& folders) {
  ImagenomeSources out;
  Found all = Search(folders.in);
  out.image_roots = out.report_roots = all.roots;
  if (!folders.imagenome.empty()) {
    Found part = Search(folders.imagenome);
    all.scene_graphs = part.scene_graphs;
    for (const char* role : {"train", "valid", "test", "avoid", "gold-boxes", "gold-attributes"})
      all.tables.erase(role);
    all.tables.merge(part.tables);
  }
  if (!folders.images.empty()) {
    Found part = Search(folders.images);
    out.image_roots = part.roots;
    part.tables.merge(all.tables);
    all.tables = part.tables;
  }
  if (!folders.reports.empty()) out.report_roots = Search(folders.reports).roots;
  out.scene_graphs = all.scene_graphs;
  out.tables = all.tables;

  const std::string where = folders.imagenome.empty() ? folders.in : folders.imagenome;
  Require(!out.image_roots.empty(), ExitCode::kInputMissing, "no images: below ",
          folders.images.empty() ? folders.in : folders.images,
          " there is no folder with p10, p11 ... (MIMIC-CXR-JPG's files/); name it with --images");
  Require(!out.report_roots.empty(), ExitCode::kInputMissing, "no reports: below ", folders.reports,
          " there is no folder with p10, p11 ... (unpack mimic-cxr-reports.zip)");
  Require(!out.scene_graphs.empty() || out.tables.contains("gold-boxes"), ExitCode::kInputMissing,
          "no annotations: below ", where,
          " there is neither silver_dataset/scene_graph/ (unpack scene_graph.zip) nor "
          "gold_dataset/; name Chest ImaGenome's folder with --imagenome");
  return out;
}

}  // namespace vesalius::data
