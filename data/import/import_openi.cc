#include "data/import/import_openi.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "base/file.h"
#include "base/hash.h"
#include "data/images/image_codec.h"
#include "data/import/archive.h"
#include "data/import/files_under.h"
#include "data/import/openi_report.h"
#include "data/shards/manifest.h"

namespace vesalius::data {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kLeastReports = 20;  // that a MeSH heading needs to become an image label
constexpr char kNormal[] = "normal";        // the heading of films without a finding

std::string Extension(const std::string& path) {
  return Lower(fs::path(path).extension().string());
}

bool IsImage(const std::string& path) {
  const std::string extension = Extension(path);
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

bool IsArchive(const std::string& path) {
  const std::string extension = Extension(path);
  return extension == ".tgz" || extension == ".gz" || extension == ".tar";
}

bool IsXml(const std::string& path) { return Extension(path) == ".xml"; }

// CXR2 before CXR10.
bool ByNumber(const std::string& a, const std::string& b) {
  return std::pair(a.size(), a) < std::pair(b.size(), b);
}

struct Unread {
  std::string name, reason;
};

class OpenI : public OpenIImporter {
 public:
  explicit OpenI(const OpenIOptions& options);
  std::string name() const override { return "openi"; }
  std::int64_t size() const override { return static_cast<std::int64_t>(items_.size()); }
  Identity identity() const override;
  Converted Convert(std::int64_t item) const override;
  Vocabulary vocabulary() const override { return vocabulary_; }
  bool has_images() const override { return has_images_; }
  ImportReport ImportTexts(const ImportOptions& options) const override;

 private:
  struct Item {
    int report = -1, image = -1;  // -1: a report without images; a file that could not be read
    int unread = -1;
  };

  void ReadReports();
  void Take(const std::string& name, const std::string& bytes);
  void FindImages();
  void ListItems();
  void SurveyLabels();
  std::vector<std::int8_t> Labels(const OpenIReport& report) const;
  void Fill(const Item& item, Converted* converted) const;

  OpenIOptions options_;
  std::string folder_;  // where images are looked for
  std::vector<OpenIReport> reports_;
  std::vector<Unread> unread_;
  std::unordered_map<std::string, std::string> image_files_;  // by name without extension
  std::unordered_set<std::string> ids_;
  std::vector<Item> items_;
  bool has_images_ = false;
  SideBoxes boxes_;
  std::map<std::string, Split> splits_;
  Vocabulary vocabulary_;
  Digest bytes_;
  Identity identity_;
};

OpenI::OpenI(const OpenIOptions& options) : options_(options) {
  CheckShares(options);
  ReadReports();
  FindImages();
  ListItems();
  SurveyLabels();
  if (!options.boxes.empty()) boxes_ = SideBoxes::FromFile(options.boxes);
  std::set<std::string> patients;
  for (const OpenIReport& report : reports_) patients.insert(report.id);
  splits_ = DrawSplits(patients, options);
  std::vector<std::string> texts;
  for (const OpenIReport& report : reports_)
    if (splits_.at(report.id) == Split::kTrain) texts.push_back(report.Text());
  vocabulary_.wordpieces = Wordpieces(options.vocab, texts);
  for (const std::string& file : {options.boxes, options.vocab})
    if (!file.empty()) bytes_.Add(std::string_view(ReadFile(file)));
  identity_ = {StrCat(options_.Words(), ", images '", options_.images, "'"), bytes_.Hex()};
}

Identity OpenI::identity() const { return identity_; }

void OpenI::Take(const std::string& name, const std::string& bytes) {
  bytes_.Add(std::string_view(name));
  bytes_.Add(std::string_view(bytes));
  try {
    OpenIReport report = ParseOpenIReport(bytes, name);
    Require(ids_.insert(report.id).second, ExitCode::kInvalidData, name, " has the id ", report.id,
            ", which another report has too");
    reports_.push_back(std::move(report));
  } catch (const Error& error) {
    unread_.push_back({name, error.what()});
  }
}

void OpenI::ReadReports() {
  const std::string& in = options_.in;
  Require(Exists(in), ExitCode::kInputMissing, in, " does not exist; check the spelling of --in");
  std::vector<std::string> archives, texts;
  if (IsDir(in)) {
    folder_ = in;
    for (const std::string& file : FilesUnder(in)) {
      if (IsXml(file)) texts.push_back(file);
      if (IsArchive(file)) archives.push_back(file);
    }
    if (!texts.empty()) archives.clear();  // the archive was unpacked beside itself
  } else {
    folder_ = fs::path(in).parent_path().string();
    if (folder_.empty()) folder_ = ".";
    archives.push_back(in);
  }
  for (const std::string& file : texts) Take(file, ReadFile(file));
  for (const std::string& archive : archives)
    ReadTar(archive, IsXml, [&](const std::string& name, const std::string& bytes) {
      Take(StrCat(archive, ", ", name), bytes);
    });
  Require(!reports_.empty(), unread_.empty() ? ExitCode::kInputMissing : ExitCode::kInvalidData, in,
          " holds no Open-i report: neither XML files nor an archive with such",
          unread_.empty() ? "" : StrCat("; ", unread_[0].reason));
  std::sort(reports_.begin(), reports_.end(),
            [](const OpenIReport& a, const OpenIReport& b) { return ByNumber(a.id, b.id); });
}

void OpenI::FindImages() {
  const std::string& folder = options_.images.empty() ? folder_ : options_.images;
  Require(IsDir(folder), ExitCode::kInputMissing, folder, " is no folder; check --images");
  for (const std::string& file : FilesUnder(folder))
    if (IsImage(file)) image_files_.emplace(fs::path(file).stem().string(), file);
}

// An item for every image that a report names, one for a report without any, one for a file that
// could not be read.
void OpenI::ListItems() {
  for (int report = 0; report < static_cast<int>(reports_.size()); ++report) {
    const auto& images = reports_[static_cast<std::size_t>(report)].images;
    if (images.empty()) items_.push_back({report, -1, -1});
    for (int image = 0; image < static_cast<int>(images.size()); ++image) {
      items_.push_back({report, image, -1});
      const auto found = image_files_.find(images[static_cast<std::size_t>(image)].id);
      if (found == image_files_.end()) continue;
      has_images_ = true;
      bytes_.Add(std::string_view(FileMark(found->second)));
    }
  }
  for (int unread = 0; unread < static_cast<int>(unread_.size()); ++unread)
    items_.push_back({-1, -1, unread});
}

void OpenI::SurveyLabels() {
  std::map<std::string, std::int64_t> counts;
  for (const OpenIReport& report : reports_)
    for (const std::string& heading : report.Concepts()) ++counts[heading];
  for (const auto& [heading, count] : counts)
    if (count >= kLeastReports && heading != kNormal && !heading.starts_with("no indexing"))
      vocabulary_.image_labels.push_back(heading);
}

// A heading that was assigned is a yes. Its absence is a no only where people assigned "normal".
std::vector<std::int8_t> OpenI::Labels(const OpenIReport& report) const {
  const std::vector<std::string> headings = report.Concepts();
  const auto has = [&](const std::string& word) {
    return std::find(headings.begin(), headings.end(), word) != headings.end();
  };
  std::vector<std::int8_t> labels;
  for (const std::string& label : vocabulary_.image_labels)
    labels.push_back(static_cast<std::int8_t>(has(label) ? 1 : has(kNormal) ? 0 : -1));
  return labels;
}

void OpenI::Fill(const Item& item, Converted* converted) const {
  if (item.unread >= 0)
    throw Unusable("report unreadable", unread_[static_cast<std::size_t>(item.unread)].reason);
  const OpenIReport& report = reports_[static_cast<std::size_t>(item.report)];
  Record record;
  SetReport(report.Text(), &record);
  if (item.image < 0) throw Unusable("report without images", "the report names no image");
  const OpenIImage& image = report.images[static_cast<std::size_t>(item.image)];
  const auto found = image_files_.find(image.id);
  if (found == image_files_.end())
    throw Unusable("image missing", StrCat("no file ", image.id, ".png or .jpg was found"));
  record.image_id = image.id;
  record.study_id = record.patient_id = report.id;  // Open-i tells of no patients
  record.split = splits_.at(report.id);
  record.image_labels = Labels(report);
  SetImage(DecodeImage(ReadFile(found->second), found->second), options_.size, &record);
  converted->record = std::move(record);
  AddBoxes(boxes_.Find(image.id), StrCat(report.id, ", ", image.id), converted);
}

Converted OpenI::Convert(std::int64_t index) const {
  const Item& item = items_[static_cast<std::size_t>(index)];
  std::string source;
  if (item.unread >= 0) {
    source = unread_[static_cast<std::size_t>(item.unread)].name;
  } else {
    const OpenIReport& report = reports_[static_cast<std::size_t>(item.report)];
    source = report.id;
    if (item.image >= 0) source += ", " + report.images[static_cast<std::size_t>(item.image)].id;
  }
  return ConvertGuarded(source, [&](Converted* converted) { Fill(item, converted); });
}

ImportReport OpenI::ImportTexts(const ImportOptions& options) const {
  for (const std::string& path : {options.out + "/reports.jsonl", ManifestPath(options.out)})
    Require(options.dry_run || !Exists(path), ExitCode::kCannotCreate, path,
            " is there already; choose another folder or remove it first");
  ImportReport result;
  std::string lines, quarantine;
  std::unordered_set<std::uint64_t> seen;
  const auto leave_out = [&](const std::string& source, const std::string& reason,
                             const std::string& kind) {
    result.quarantined.push_back({source, reason, false, kind});
    const nlohmann::ordered_json line = {
        {"source", source}, {"reason", reason}, {"kept", false}, {"kind", kind}};
    quarantine += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  };
  for (const OpenIReport& report : reports_) {
    if (options.limit > 0 && result.read == options.limit) break;
    ++result.read;
    const std::string text = report.Text();
    if (text.empty()) {
      leave_out(report.id, "neither findings nor impression say anything", "text empty");
      continue;
    }
    const Split split = splits_.at(report.id);
    ++result.written;
    ++result.splits[static_cast<std::size_t>(split)];
    result.duplicate_reports += !seen.insert(Hash64(NormalisedText(text))).second;
    const nlohmann::ordered_json line = {{"id", report.id},
                                         {"split", SplitName(split)},
                                         {"text", text},
                                         {"sections", report.sections},
                                         {"mesh", report.headings},
                                         {"images", report.images.size()}};
    lines += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  for (const Unread& unread : unread_) {
    if (options.limit > 0 && result.read >= options.limit) break;
    ++result.read;
    leave_out(unread.name, unread.reason, "report unreadable");
  }
  result.patients = result.written;
  if (options.dry_run) return result;
  MakeDirs(options.out);
  WriteFileAtomic(options.out + "/vocab.txt", Join(vocabulary_.wordpieces, "\n") + "\n");
  WriteFileAtomic(options.out + "/quarantine.jsonl", quarantine);
  WriteFileAtomic(options.out + "/reports.jsonl", lines);
  return result;
}

}  // namespace

std::unique_ptr<OpenIImporter> OpenOpenI(const OpenIOptions& options) {
  return std::make_unique<OpenI>(options);
}

}  // namespace vesalius::data
