// Where the parts of MIMIC-CXR-JPG, its reports and Chest ImaGenome lie on this disk. They are
// found by name below one folder, in which PhysioNet's own folders (mimic-cxr-jpg/2.1.0/,
// chest-imagenome/1.0.0/ ...) may be nested as the download left them; each part can be given by
// itself too.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "data/import/table.h"

namespace vesalius::data {

// The trimmed cells of one column of a table; "" where the table has no such column.
class CellsOf {
 public:
  CellsOf(const Table& table, std::string_view column) : at_(table.Column(column)) {}
  std::string operator()(const TableRow& row) const;

 private:
  int at_;
};

struct ImagenomeFolders {
  std::string in;         // searched for whatever is not given below ("")
  std::string imagenome;  // holds silver_dataset/ and gold_dataset/
  std::string images;     // holds files/ (or is it) with the JPEG files
  std::string reports;    // holds files/ (or is it) with the reports
};

struct ImagenomeSources {
  // Folders that hold p10/ ... p19/, in the order in which they are tried.
  std::vector<std::string> image_roots, report_roots;
  std::string scene_graphs;  // folder of *_SceneGraph.json; "" = there is none
  // Paths by role: "train", "valid", "test" (silver splits), "avoid", "record-list", "split",
  // "metadata", "chexpert", "negbio", "gold-boxes", "gold-attributes". Those that exist.
  std::map<std::string, std::string> tables;

  // The table of a role, unpacked where it is compressed; an empty one where there is none. Every
  // column of `needed` must be there. Error(kInvalidData).
  Table Read(const std::string& role, const std::vector<std::string>& needed) const;
};

// Error(kInputMissing) when a folder does not exist, or no images, or neither scene graphs nor gold
// annotations are found: the message says what was looked for.
ImagenomeSources FindImagenome(const ImagenomeFolders& folders);

}  // namespace vesalius::data
