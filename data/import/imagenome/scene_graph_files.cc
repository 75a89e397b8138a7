#include "data/import/imagenome/scene_graph_files.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/strings.h"
#include "data/import/importer.h"

namespace vesalius::data {
namespace {

constexpr std::string_view kEnding = "_SceneGraph.json";

void RequireSame(const std::string& what, const std::string& said, const std::string& listed) {
  if (!said.empty() && said != listed)
    throw Unusable("scene graph of another image",
                   StrCat("the scene graph is of ", what, " ", said.substr(0, 80),
                          ", the list says ", listed));
}

// Python writes ids read from tables with gaps as 10000032.0.
std::string WholeNumber(std::string text) {
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

}  // namespace

std::vector<std::string> ListSceneGraphs(const std::string& folder) {
  std::vector<std::string> out;
  if (folder.empty()) return out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    std::string name = entry.path().filename();
    if (!name.ends_with(kEnding)) continue;
    name.resize(name.size() - kEnding.size());
    out.push_back(std::move(name));
  }
  Require(!error, ExitCode::kInputMissing, folder, " cannot be read: ", error.message());
  return out;
}

SceneGraph ReadSceneGraph(const std::string& folder, const ListedImage& image,
                          std::uint64_t* digest) {
  const std::string path = StrCat(folder, "/", image.image_id, kEnding);
  if (folder.empty() || !Exists(path))
    throw Unusable("scene graph missing", StrCat("no scene graph: ", path, " does not exist"));
  if (const std::uint64_t bytes = FileSize(path); bytes > kMostSceneGraphBytes)
    throw Unusable("scene graph unreadable", StrCat("the scene graph has ", bytes,
                                                    " bytes, more than ", kMostSceneGraphBytes));
  const std::string bytes = ReadFile(path);
  if (digest != nullptr) *digest = Hash64(bytes);
  SceneGraph graph = ParseSceneGraph(bytes);
  RequireSame("image", WithoutDcm(graph.image_id), image.image_id);
  RequireSame("patient", WholeNumber(graph.patient_id), image.patient_id);
  RequireSame("study", WholeNumber(graph.study_id), image.study_id);
  return graph;
}

}  // namespace vesalius::data
