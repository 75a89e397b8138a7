#include "data/import/imagenome/study_files.h"

#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"
#include "data/images/image_codec.h"
#include "data/import/imagenome/gold.h"
#include "data/import/imagenome/mimic_report.h"
#include "data/import/imagenome/scene_graph_files.h"
#include "data/import/importer.h"

namespace vesalius::data {
namespace {

constexpr std::uint64_t kMostReportBytes = 1u << 20;  // real ones have some 1 kB

// The first of the roots that has the file, or "".
std::string FindFile(const std::vector<std::string>& roots, const std::string& inside) {
  for (const std::string& root : roots) {
    std::string path = StrCat(root, "/", inside);
    if (Exists(path)) return path;
  }
  return "";
}

}  // namespace

StudyFiles::StudyFiles(ImagenomeSources sources)
    : sources_(std::move(sources)), gold_(ReadGold(sources_)) {}

SceneGraph StudyFiles::Annotation(const ListedImage& image, std::uint64_t* digest) const {
  if (!image.gold) return ReadSceneGraph(sources_.scene_graphs, image, digest);
  const auto found = gold_.find(image.image_id);
  Invariant(found != gold_.end(), "gold image ", image.image_id, " has no annotation");
  return found->second;
}

std::string StudyFiles::Report(const ListedImage& image) const {
  const std::string inside = StrCat(image.StudyPath(), ".txt");
  const std::string path = FindFile(sources_.report_roots, inside);
  if (path.empty())
    throw Unusable("report missing", StrCat("no report: ", inside, " is not found"));
  if (FileSize(path) > kMostReportBytes)
    throw Unusable("report without text", StrCat(path, " is too large for a report"));
  std::string text = ParseMimicReport(ReadFile(path)).Text();
  if (text.empty())
    throw Unusable("report without text",
                   StrCat(path, " has neither findings nor an impression nor other text"));
  return text;
}

Image StudyFiles::Picture(const ListedImage& image) const {
  const std::string inside = StrCat(image.StudyPath(), "/", image.image_id, ".jpg");
  const std::string path = FindFile(sources_.image_roots, inside);
  if (path.empty()) throw Unusable("image missing", StrCat("no image: ", inside, " is not found"));
  try {
    return DecodeImage(ReadFile(path), path);
  } catch (const Error& error) {
    if (error.code() == ExitCode::kBug) throw;
    throw Unusable("image unreadable", error.what());
  }
}

}  // namespace vesalius::data
