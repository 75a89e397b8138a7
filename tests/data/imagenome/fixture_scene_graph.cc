// A planned annotation as <dicom_id>_SceneGraph.json, in the members and the order of the published
// files; also with the structural faults that a file can have.
#include <algorithm>
#include <cmath>

#include "tests/data/imagenome/fixture_annotation.h"

namespace imagenome_fixture {
namespace {

using Json = nlohmann::ordered_json;

const char kNoNumber[] = "@no number@";  // becomes NaN, which Python writes

const Region& Find(const std::string& name) {
  for (const auto* regions : {&KnownRegions(), &OtherRegions()})
    for (const Region& region : *regions)
      if (region.name == name) return region;
  throw std::logic_error(name);
}

Json Object(const Rectangle& box, const Annotation& annotation, const std::string& image) {
  const Region& region = Find(box.region);
  Json out;
  out["object_id"] = image + "_" + region.name;
  const double ratio = 224.0 / std::max(annotation.width, annotation.height);
  const double left = (224 - annotation.width * ratio) / 2;
  const double top = (224 - annotation.height * ratio) / 2;
  const char* edges[] = {"x1", "y1", "x2", "y2"};
  const bool numbers = std::isfinite(box.written[0]);
  for (int i = 0; i < 4; ++i) {
    const double framed = box.written[i] * ratio + (i % 2 == 0 ? left : top);
    // Only whole numbers, as published, unless they are all that there is.
    if (!numbers)
      out[edges[i]] = kNoNumber;
    else if (annotation.framed)
      out[edges[i]] = framed;
    else
      out[edges[i]] = static_cast<int>(framed);
  }
  out["width"] = 0;
  out["height"] = 0;
  out["bbox_name"] = region.name;
  out["synsets"] = {region.cui};
  out["name"] = region.long_name;
  if (annotation.framed) return out;
  for (int i = 0; i < 4; ++i) {
    const std::string key = std::string("original_") + edges[i];
    if (!numbers)
      out[key] = kNoNumber;
    else if (box.written[i] == std::floor(box.written[i]))
      out[key] = static_cast<int>(box.written[i]);
    else
      out[key] = box.written[i];
  }
  out["original_width"] = 0;
  out["original_height"] = 0;
  return out;
}

// One element of attributes[]: every list has an entry a phrase.
Json Attributes(const std::string& name, const std::vector<Spoken>& spoken,
                const std::string& image) {
  const Region& region = Find(name);
  Json out;
  out[name] = true;
  out["bbox_name"] = name;
  out["synsets"] = {region.cui};
  out["name"] = region.long_name;
  for (const char* list : {"attributes", "attributes_ids", "phrases", "phrase_IDs", "sections",
                           "comparison_cues", "temporal_cues", "severity_cues", "texture_cues"})
    out[list] = Json::array();
  int number = 0;
  for (const Spoken& one : spoken) {
    out["attributes"].push_back(one.attributes);
    out["attributes_ids"].push_back(std::vector<std::string>(one.attributes.size(), "C1550457"));
    out["phrases"].push_back(one.written);
    out["phrase_IDs"].push_back(image + "|" + std::to_string(++number));
    out["sections"].push_back(one.section);
    out["comparison_cues"].push_back(Json::array());
    out["temporal_cues"].push_back({"temporal|yes|chronic"});
    out["severity_cues"].push_back(Json::array());
    out["texture_cues"].push_back({"texture|yes|opacity"});
  }
  out["object_id"] = image + "_" + name;
  return out;
}

Json Relationship(const std::string& image) {
  return {{"relationship_id", image + "|1|carina"},
          {"predicate", "['No status change']"},
          {"synsets", {"C0442739"}},
          {"relationship_names", {"comparison|yes|no change"}},
          {"relationship_contexts", {1.0}},
          {"phrase", "No change [\"since\"] {the prior film}."},
          {"attributes", {"anatomicalfinding|yes|unread relationship"}},
          {"bbox_name", "carina"},
          {"subject_id", image + "_carina"},
          {"object_id", "00000000-00000000-00000000-00000000-00000000_carina"}};
}

void MisalignFirst(const std::string& fault, Json* graph) {
  Json& lists = graph->at("attributes").at(0);
  if (fault == "unequal lists: phrases") lists["phrases"].push_back("One too many.");
  if (fault == "unequal lists: sections") lists["sections"].erase(0);
  if (fault == "unequal lists: attributes") lists["attributes"].push_back(Json::array());
  if (fault == "unequal lists: cues") lists["severity_cues"].push_back(Json::array());
  if (fault == "list missing") lists.erase("phrases");
}

std::string Damaged(std::string text, const std::string& fault) {
  if (fault == "graph cut off") text.resize(text.size() / 2);
  if (fault == "graph not JSON") text = "<html>404</html>";
  if (fault == "graph empty") text.clear();
  if (fault == "graph with more behind it") text += " {}";
  if (fault == "graph not UTF-8") text.insert(text.find("objects"), "\xff\xfe");
  if (fault == "graph nested too deep")
    text.insert(1, "\"more\": " + std::string(5000, '[') + std::string(5000, ']') + ", ");
  return text;
}

}  // namespace

std::string SceneGraphText(const Annotation& annotation, const std::string& image,
                           const std::string& study, const std::string& patient,
                           const std::string& view) {
  const std::string& fault = annotation.fault;
  Json graph;
  graph["image_id"] = fault == "graph of another image" ? "ffffffff" + image.substr(8) : image;
  graph["viewpoint"] = view;
  const long number = std::stol(patient) + (fault == "graph of another patient" ? 1 : 0);
  graph["patient_id"] = number;
  graph["study_id"] = std::stol(study) + (fault == "graph of another study" ? 1 : 0);
  if (fault == "ids written otherwise") {
    graph["patient_id"] = patient;
    graph["study_id"] = std::stod(study);
  }
  graph["gender"] = "F";
  graph["age_decile"] = "50-60";
  graph["reason_for_exam"] = "___F with cough // ? pneumonia";
  graph["StudyOrder"] = 1;
  graph["StudyDateTime"] = "2180-05-06 21:30:14 UTC";
  graph["objects"] = Json::array();
  for (const Rectangle& box : annotation.boxes)
    graph["objects"].push_back(Object(box, annotation, image));
  graph["attributes"] = Json::array();
  for (const auto& [region, spoken] : annotation.spoken)
    graph["attributes"].push_back(Attributes(region, spoken, image));
  graph["relationships"] = {Relationship(image), Relationship(image)};
  MisalignFirst(fault, &graph);
  std::string text = graph.dump();
  const std::string quoted = std::string("\"") + kNoNumber + "\"";
  for (std::size_t at; (at = text.find(quoted)) != std::string::npos;)
    text.replace(at, quoted.size(), "NaN");
  return Damaged(std::move(text), fault);
}

}  // namespace imagenome_fixture
