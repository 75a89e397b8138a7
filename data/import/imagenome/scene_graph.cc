#include "data/import/imagenome/scene_graph.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <unordered_map>

#include "base/error.h"
#include "base/strings.h"
#include "data/import/imagenome/json_cursor.h"
#include "data/import/importer.h"
#include "data/text/utf8.h"

namespace vesalius::data {
namespace {

constexpr std::size_t kMostFaults = 20;  // of one graph that are told

using Coordinates = std::array<double, 4>;  // x1, y1, x2, y2
constexpr std::array<std::string_view, 4> kEdges = {"x1", "y1", "x2", "y2"};

Coordinates Unknown() {
  Coordinates out;
  out.fill(std::nan(""));
  return out;
}

bool Finite(const Coordinates& edges) {
  return std::all_of(edges.begin(), edges.end(), [](double v) { return std::isfinite(v); });
}

void ReadObject(JsonCursor& json, SceneGraph* graph) {
  std::string name;
  Coordinates original = Unknown(), framed = Unknown();
  json.Object([&](const std::string& key) {
    std::string_view edge = key;
    const bool of_original = edge.starts_with("original_");
    if (of_original) edge.remove_prefix(9);
    const auto found = std::find(kEdges.begin(), kEdges.end(), edge);
    const bool scalar = json.Peek() != '{' && json.Peek() != '[';
    if (found != kEdges.end() && scalar) {
      (of_original ? original : framed)[found - kEdges.begin()] = json.Number();
    } else if (key == "bbox_name" && scalar) {
      name = json.Scalar();
    } else {
      json.Skip();
    }
  });
  if (name.empty()) {
    graph->AddFault("an object has no bbox_name");
    return;
  }
  const Coordinates& edges = Finite(original) ? original : framed;
  if (Finite(edges))
    graph->boxes.push_back(
        {{name, edges[0], edges[1], edges[2], edges[3], 0, 0}, &edges == &framed});
  else if (RegionId(name) >= 0)
    graph->AddFault(StrCat("box '", name, "' has coordinates that are no numbers"));
}

// One entry of attributes[]: all that the report says of one region.
struct RegionLists {
  std::string region;
  std::vector<std::vector<std::string>> attributes;
  std::vector<std::string> phrases, sections;
  std::map<std::string, std::size_t> lengths;  // of every aligned list that is there
};

// Which of an entry's members are aligned, one element a phrase.
bool IsAligned(const std::string& key) {
  return key == "attributes" || key == "attributes_ids" || key == "phrases" ||
         key == "phrase_IDs" || key == "sections" || key.ends_with("_cues");
}

std::string Text(JsonCursor& json) {
  if (json.IsString()) return json.String();
  json.Skip();
  return "";
}

std::vector<std::string> Texts(JsonCursor& json) {
  std::vector<std::string> out;
  if (json.Peek() == '[')
    json.Array([&] { out.push_back(Text(json)); });
  else
    out.push_back(Text(json));
  return out;
}

RegionLists ReadLists(JsonCursor& json) {
  RegionLists lists;
  json.Object([&](const std::string& key) {
    if (key == "bbox_name") {
      lists.region = Text(json);
    } else if (IsAligned(key) && json.Peek() == '[') {
      std::size_t length = 0;
      json.Array([&] {
        ++length;
        if (key == "attributes")
          lists.attributes.push_back(Texts(json));
        else if (key == "phrases")
          lists.phrases.push_back(Text(json));
        else if (key == "sections")
          lists.sections.push_back(Text(json));
        else
          json.Skip();
      });
      lists.lengths[key] = length;
    } else {
      json.Skip();
    }
  });
  return lists;
}

void RequireAligned(const RegionLists& lists) {
  for (const char* needed : {"attributes", "phrases", "sections"})
    if (!lists.lengths.contains(needed))
      throw Unusable("scene graph lacks a list",
                     StrCat("the attributes of '", lists.region, "' have no list ", needed));
  const std::size_t phrases = lists.phrases.size();
  for (const auto& [name, length] : lists.lengths)
    if (length != phrases)
      throw Unusable("scene graph with lists of unequal length",
                     StrCat("the lists of '", lists.region, "' disagree in length: ", phrases,
                            " phrases, ", length, " in ", name));
}

void ReadAttributes(JsonCursor& json, SceneGraph* graph) {
  const RegionLists lists = ReadLists(json);
  RequireAligned(lists);
  if (lists.region.empty()) graph->AddFault("attributes have no bbox_name");
  const int region = RegionId(lists.region);
  if (region < 0) return;  // also the regions without a box: neck, chest wall, unknown ...
  for (std::size_t i = 0; i < lists.phrases.size(); ++i)
    if (IsFinalReport(lists.sections[i]))
      graph->AddPhrase(region, lists.phrases[i], lists.attributes[i]);
}

bool ParseAttribute(const std::string& text, Attribute* out) {
  const std::vector<std::string> parts = vesalius::Split(NormalisedText(text), '|');
  if (parts.size() != 3) return false;
  out->category = Trim(parts[0]);
  out->finding = Trim(parts[2]);
  out->yes = Trim(parts[1]) == "yes";
  return !out->category.empty() && !out->finding.empty() && (out->yes || Trim(parts[1]) == "no");
}

}  // namespace

std::string Squeezed(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (!std::isspace(static_cast<unsigned char>(c)))
      out += c;
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
  }
  if (out.ends_with(' ')) out.pop_back();
  return out;
}

bool IsFinalReport(std::string_view section) {
  std::string letters;
  for (const unsigned char c : section)
    if (std::isalpha(c)) letters += static_cast<char>(std::tolower(c));
  return letters.starts_with("finalreport");
}

void SceneGraph::AddFault(std::string fault) {
  if (faults.size() < kMostFaults) faults.push_back(std::move(fault));
}

void SceneGraph::AddPhrase(int region, std::string_view text,
                           const std::vector<std::string>& attributes) {
  Phrase phrase{Squeezed(text), {}};
  for (const std::string& written : attributes) {
    Attribute attribute;
    if (ParseAttribute(written, &attribute))
      phrase.attributes.push_back(attribute);
    else
      AddFault(StrCat("attribute '", written.substr(0, 80), "' of '", kRegionNames[region],
                      "' is not category|yes or no|finding"));
  }
  phrases[region].push_back(std::move(phrase));
}

void SceneGraph::MergePhrases() {
  for (std::vector<Phrase>& of_region : phrases) {
    std::unordered_map<std::string, std::size_t> first;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < of_region.size(); ++i) {
      const auto [found, is_new] = first.emplace(NormalisedText(of_region[i].text), kept);
      if (!is_new) {
        std::vector<Attribute>& to = of_region[found->second].attributes;
        to.insert(to.end(), of_region[i].attributes.begin(), of_region[i].attributes.end());
      } else if (kept++ != i) {
        of_region[kept - 1] = std::move(of_region[i]);
      }
    }
    of_region.resize(kept);
  }
}

SceneGraph ParseSceneGraph(std::string_view bytes) {
  constexpr char kUnreadable[] = "scene graph unreadable";
  if (!ValidUtf8(bytes)) throw Unusable(kUnreadable, "the scene graph is not UTF-8");
  SceneGraph graph;
  try {
    JsonCursor json(bytes);
    json.Object([&](const std::string& key) {
      const bool scalar = json.Peek() != '{' && json.Peek() != '[';
      if (key == "image_id" && scalar)
        graph.image_id = json.Scalar();
      else if (key == "patient_id" && scalar)
        graph.patient_id = json.Scalar();
      else if (key == "study_id" && scalar)
        graph.study_id = json.Scalar();
      else if (key == "viewpoint" && scalar)
        graph.viewpoint = json.Scalar();
      else if (key == "objects")
        json.Array([&] { ReadObject(json, &graph); });
      else if (key == "attributes")
        json.Array([&] { ReadAttributes(json, &graph); });
      else
        json.Skip();
    });
    json.End();
  } catch (const Unusable&) {
    throw;
  } catch (const Error& error) {
    throw Unusable(kUnreadable, StrCat("the scene graph is ", error.what()));
  }
  graph.MergePhrases();
  return graph;
}

}  // namespace vesalius::data
