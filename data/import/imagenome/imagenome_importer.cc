#include "data/import/imagenome/imagenome_importer.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "data/anatomy.h"
#include "data/import/imagenome/study_labels.h"
#include "data/import/imagenome/survey.h"
#include "data/loader/region_text.h"

namespace vesalius::data {
namespace {

constexpr double kFrame = 224;        // side of the frame of x1, y1, x2, y2
constexpr double kSameAspect = 0.01;  // how much the scales of both sides may differ

std::string Source(const ListedImage& listed) {
  if (listed.patient_id.empty() || listed.study_id.empty())
    return listed.image_id.empty() ? "lists of images" : listed.image_id;
  return StrCat(listed.StudyPath(), "/", listed.image_id);
}

// From the frame, into which the image is fitted and centred, to pixels of the image.
PixelBox OutOfFrame(PixelBox box, const Geometry& geometry) {
  const double width = geometry.original_width, height = geometry.original_height;
  const double ratio = kFrame / std::max(width, height);
  const double left = (kFrame - width * ratio) / 2, top = (kFrame - height * ratio) / 2;
  for (double* x : {&box.x0, &box.x1}) *x = (*x - left) / ratio;
  for (double* y : {&box.y0, &box.y1}) *y = (*y - top) / ratio;
  return box;
}

// From pixels of the image as published to those of the copy at hand, which may be smaller. One of
// another shape keeps the published size, by which SetBoxes() refuses it.
PixelBox ToCopy(PixelBox box, const ListedImage& listed, const Geometry& geometry) {
  if (listed.columns <= 0 || listed.rows <= 0) return box;
  const double across = static_cast<double>(geometry.original_width) / listed.columns;
  const double down = static_cast<double>(geometry.original_height) / listed.rows;
  if (std::abs(across - down) > kSameAspect * std::max(across, down)) {
    box.image_width = listed.columns;
    box.image_height = listed.rows;
    return box;
  }
  for (double* x : {&box.x0, &box.x1}) *x *= across;
  for (double* y : {&box.y0, &box.y1}) *y *= down;
  return box;
}

// Yes of any region, else no of any, by finding.
std::vector<std::int8_t> LabelsOfRegions(const Record& record, int findings) {
  std::vector<std::int8_t> out(static_cast<std::size_t>(findings), -1);
  for (std::size_t i = 0; i < record.region_labels.size(); ++i)
    out[i % out.size()] = std::max(out[i % out.size()], record.region_labels[i]);
  return out;
}

class ImagenomeImporter : public Importer {
 public:
  explicit ImagenomeImporter(const ImagenomeOptions& options);
  std::string name() const override { return "mimic-imagenome"; }
  std::int64_t size() const override { return static_cast<std::int64_t>(images_.size()); }
  Identity identity() const override { return identity_; }
  Vocabulary vocabulary() const override { return vocabulary_; }
  Converted Convert(std::int64_t item) const override;

 private:
  void ReadLabels(const ImagenomeSources& sources);
  void MakeVocabulary();
  void Identify(const ImagenomeSources& sources);
  void AddAnnotation(const ListedImage& listed, const SceneGraph& graph, Converted* out) const;
  void ReadItem(const ListedImage& listed, Converted* out) const;

  ImagenomeOptions options_;
  std::vector<ListedImage> images_;
  std::unique_ptr<const StudyFiles> files_;
  SideBoxes side_boxes_;
  ImagenomeSurvey survey_;
  bool labels_of_findings_ = false;
  StudyLabels labels_;
  Vocabulary vocabulary_;
  Identity identity_;
};

ImagenomeImporter::ImagenomeImporter(const ImagenomeOptions& options) : options_(options) {
  Require(options.size >= 16 && options.size <= 4096, ExitCode::kConfig, "the stored size ",
          options.size, " is out of range: 16 to 4096 pixels");
  const ImagenomeSources sources =
      FindImagenome({options.in, options.imagenome, options.images, options.reports});
  if (!options.boxes.empty()) side_boxes_ = SideBoxes::FromFile(options.boxes);
  images_ = ListImages(sources, options.splits, options.test);
  Require(!images_.empty(), ExitCode::kInvalidData, options.in, ": no list names an image");
  ReadLabels(sources);
  files_ = std::make_unique<StudyFiles>(sources);
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  survey_ = SurveyImagenome(*files_, images_,
                            options.threads > 0 ? options.threads : static_cast<int>(cores));
  if (survey_.findings.size() == 0)
    log::Warning("no annotation below ", options.in, " names a finding in a final report");
  MakeVocabulary();
  Identify(sources);
  survey_.texts.clear();
}

void ImagenomeImporter::ReadLabels(const ImagenomeSources& sources) {
  std::vector<std::string> tried = {"chexpert", "negbio"};
  if (options_.labels == ImageLabels::kChexpert) tried = {"chexpert"};
  if (options_.labels == ImageLabels::kNegbio) tried = {"negbio"};
  if (options_.labels == ImageLabels::kFindings) tried.clear();
  for (const std::string& role : tried) {
    if (!sources.tables.contains(role)) continue;
    labels_ = ReadStudyLabels(sources.Read(role, {"study_id"}));
    return;
  }
  Require(options_.labels == ImageLabels::kAuto || options_.labels == ImageLabels::kFindings,
          ExitCode::kInputMissing, "no mimic-cxr-2.0.0-", tried.empty() ? "" : tried[0],
          ".csv.gz is found below ", options_.in);
  labels_of_findings_ = true;
}

void ImagenomeImporter::MakeVocabulary() {
  vocabulary_.findings = survey_.findings.Findings();
  vocabulary_.can = survey_.can;
  vocabulary_.parent = AnatomicalParents();
  vocabulary_.positive_forms = {"{f} in the {r}.", "there is {f} in the {r}.",
                                "the {r} shows {f}."};
  vocabulary_.negative_forms = {"no {f} in the {r}.", "there is no {f} in the {r}.",
                                "the {r} shows no {f}."};
  vocabulary_.normal_forms = {"the {r} is normal.", "the {r} is unremarkable.", "normal {r}."};
  vocabulary_.image_labels = labels_.names;
  if (labels_of_findings_)
    for (const Finding& finding : vocabulary_.findings)
      vocabulary_.image_labels.push_back(finding.name);
  std::vector<std::string> texts = survey_.texts;
  for (int region = 0; region < kRegions; ++region) {
    texts.push_back(NormalSentence(vocabulary_, region, nullptr));
    for (int f = 0; f < survey_.findings.size(); ++f)
      if (survey_.can[static_cast<std::size_t>(region) * survey_.findings.size() + f])
        texts.push_back(FindingSentence(vocabulary_, region, f, 1, nullptr));
  }
  texts.insert(texts.end(), vocabulary_.image_labels.begin(), vocabulary_.image_labels.end());
  vocabulary_.wordpieces = Wordpieces(options_.vocab, texts);
}

void ImagenomeImporter::Identify(const ImagenomeSources& sources) {
  identity_.options =
      StrCat(options_.Words(), ", splits ", static_cast<int>(options_.splits), ", test images ",
             static_cast<int>(options_.test), ", labels ", static_cast<int>(options_.labels));
  Digest digest;
  digest.Add(survey_.digest);
  for (const auto& [role, path] : sources.tables) {
    digest.Add(role);
    digest.Add(ReadFile(path));
  }
  for (const ListedImage& image : images_) digest.Add(image.image_id);
  if (!options_.boxes.empty()) digest.Add(ReadFile(options_.boxes));
  for (const std::string& piece : vocabulary_.wordpieces) digest.Add(piece);
  identity_.input = digest.Hex();
}

void ImagenomeImporter::AddAnnotation(const ListedImage& listed, const SceneGraph& graph,
                                      Converted* out) const {
  Record& record = *out->record;
  std::vector<PixelBox> boxes = side_boxes_.Find(listed.image_id);
  for (const GraphBox& box : graph.boxes)
    boxes.push_back(box.framed ? OutOfFrame(box.box, record.geometry)
                               : ToCopy(box.box, listed, record.geometry));
  AddBoxes(boxes, Source(listed), out);
  for (const std::string& fault : graph.faults)
    out->quarantined.push_back({Source(listed), fault, true, "part of an annotation left out"});
  SetStatements(graph, survey_.findings, &record);
}

void ImagenomeImporter::ReadItem(const ListedImage& listed, Converted* out) const {
  if (!listed.problem.empty()) throw Unusable(listed.problem_kind, listed.problem);
  const SceneGraph graph = files_->Annotation(listed);
  Record& record = out->record.emplace();
  record.image_id = listed.image_id;
  record.study_id = listed.study_id;
  record.patient_id = listed.patient_id;
  record.split = listed.split;
  record.view = listed.view != View::kUnknown ? listed.view : ParseView(graph.viewpoint);
  SetReport(files_->Report(listed), &record);
  SetImage(files_->Picture(listed), options_.size, &record);
  AddAnnotation(listed, graph, out);
  if (labels_of_findings_) {
    record.image_labels = LabelsOfRegions(record, survey_.findings.size());
  } else {
    const auto labels = labels_.of_study.find(listed.study_id);
    record.image_labels = labels != labels_.of_study.end()
                              ? labels->second
                              : std::vector<std::int8_t>(labels_.names.size(), -1);
  }
}

Converted ImagenomeImporter::Convert(std::int64_t item) const {
  const ListedImage& listed = images_[static_cast<std::size_t>(item)];
  return ConvertGuarded(Source(listed), [&](Converted* out) { ReadItem(listed, out); });
}

}  // namespace

std::unique_ptr<Importer> OpenImagenome(const ImagenomeOptions& options) {
  return std::make_unique<ImagenomeImporter>(options);
}

}  // namespace vesalius::data
