// One planned image's annotation: what is said of its regions, how that is written down (scene
// graph or gold rows), and what a reader must make of it.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/data/imagenome/fixture_files.h"

namespace imagenome_fixture {

struct Region {
  std::string name, long_name, cui;
};
const std::vector<Region>& KnownRegions();  // the 29
const std::vector<Region>& OtherRegions();  // with or without boxes, not read

struct Spoken {
  std::string text;     // clean
  std::string written;  // with the white space and the case of the file
  std::string section = "finalreport";
  std::vector<std::string> attributes;  // "category|polarity|finding"
  std::string statement;                // of the oracle; "" = must not be read
};

struct Rectangle {
  std::string region;
  std::vector<double> written;              // x1, y1, x2, y2 in pixels of the published image
  std::optional<std::vector<double>> read;  // what must be left of it; nothing = dropped
};

struct Annotation {
  int width = 0, height = 0;  // of the published image
  std::vector<Rectangle> boxes;
  std::map<std::string, std::vector<Spoken>> spoken;      // by region, also others than the 29
  std::vector<std::pair<std::string, std::string>> kept;  // kinds and words of reasons
  // How the graph is written.
  bool framed = false;  // without original_* coordinates
  std::string fault;    // a name of a structural fault, see SceneGraphText
};

// Draws a sound annotation; `oddity` names what is to be odd about it, "" for nothing.
Annotation Draw(int width, int height, const std::string& oddity, Dice& dice);

std::string SceneGraphText(const Annotation& annotation, const std::string& image,
                           const std::string& study, const std::string& patient,
                           const std::string& view);

// What the oracle says of boxes, sentences, labels and abnormality.
nlohmann::json Expected(const Annotation& annotation, int copy_width, int copy_height, int side);

// "category|finding" by region, of all that must be read.
std::map<std::string, std::set<std::string>> Named(const Annotation& annotation);

}  // namespace imagenome_fixture
