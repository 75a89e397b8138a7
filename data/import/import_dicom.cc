#include "data/import/import_dicom.h"

#include <filesystem>

#include "base/file.h"
#include "base/hash.h"
#include "data/images/dicom.h"
#include "data/import/files_under.h"
#include "data/import/table.h"

namespace vesalius::data {
namespace {

namespace fs = std::filesystem;

// Identifiers of people and studies leave the file only as hashes.
std::string Pseudonym(const std::string& identifier) { return Hex64(Hash64(identifier)); }

// A report by whatever names the table calls its image, study or file.
class Reports {
 public:
  Reports() = default;
  explicit Reports(const std::string& path) : given_(true) {
    const Table table = ReadTable(path);
    const auto column = [&](std::initializer_list<const char*> names) {
      for (const char* name : names)
        if (const int found = table.Column(name); found >= 0) return found;
      return -1;
    };
    const int text = column({"report", "text", "impression", "findings", "caption"});
    Require(text >= 0, ExitCode::kInvalidData, path,
            " has no column of texts (report, text, impression, findings or caption)");
    std::vector<int> keys;
    for (const auto& names :
         {std::initializer_list<const char*>{"image", "file", "filename", "path", "dicom_id",
                                             "sopinstanceuid", "image_id"},
          {"studyinstanceuid", "study", "study_id", "study_uid"}})
      if (const int found = column(names); found >= 0) keys.push_back(found);
    Require(!keys.empty(), ExitCode::kInvalidData, path,
            " names neither images nor studies (image, file, path, dicom_id, SOPInstanceUID, "
            "StudyInstanceUID, study_id ...)");
    for (const TableRow& row : table.rows) {
      if (!row.error.empty()) continue;
      for (const int key : keys)
        texts_[std::string(Trim(row.cells[static_cast<std::size_t>(key)]))] =
            Trim(row.cells[static_cast<std::size_t>(text)]);
    }
    texts_.erase("");
  }

  bool given() const { return given_; }
  // The text under the first of the names that has one; "" for none.
  std::string Find(const std::vector<std::string>& names) const {
    for (const std::string& name : names)
      if (const auto found = texts_.find(name); found != texts_.end()) return found->second;
    return "";
  }

 private:
  bool given_ = false;
  std::map<std::string, std::string> texts_;
};

class DicomImporter final : public Importer {
 public:
  explicit DicomImporter(const DicomOptions& options) : options_(options) {
    CheckShares(options);
    FindFiles();
    if (!options.reports.empty()) reports_ = Reports(options.reports);
    if (!options.boxes.empty()) boxes_ = SideBoxes::FromFile(options.boxes);
    std::set<std::string> patients;
    for (Film& film : films_) {
      Survey(&film);
      patients.insert(film.patient);
    }
    splits_ = DrawSplits(patients, options);
    std::vector<std::string> texts;
    for (const Film& film : films_)
      if (!film.report.empty() && splits_.at(film.patient) == Split::kTrain)
        texts.push_back(film.report);
    Require(!texts.empty() || !options.vocab.empty(), ExitCode::kInvalidData, options.in,
            " has no reports to learn word pieces from: give --reports FILE, or --vocab FILE");
    vocabulary_.wordpieces = Wordpieces(options.vocab, texts);
  }

  std::string name() const override { return "dicom"; }
  std::int64_t size() const override { return static_cast<std::int64_t>(films_.size()); }
  Vocabulary vocabulary() const override { return vocabulary_; }
  Identity identity() const override {
    Digest digest;
    for (const Film& film : films_) digest.Add(std::string_view(FileMark(film.path)));
    for (const std::string& file : {options_.reports, options_.boxes, options_.vocab})
      if (!file.empty()) digest.Add(std::string_view(ReadFile(file)));
    return {StrCat(options_.Words(), ", reports '", options_.reports, "'"), digest.Hex()};
  }

  Converted Convert(std::int64_t item) const override {
    const Film& film = films_[static_cast<std::size_t>(item)];
    return ConvertGuarded(film.name, [&](Converted* out) {
      Read(film, &out->record.emplace());
      for (const std::string& name : {film.image, film.name, Stem(film.name)})
        if (const auto boxes = boxes_.Find(name); !boxes.empty()) {
          AddBoxes(boxes, film.name, out);
          break;
        }
    });
  }

 private:
  struct Film {
    std::string path, name;                     // name: below `in`
    std::string image, study, patient, report;  // identifiers as written
    std::string error;                          // why its header cannot be read
  };

  static std::string Stem(const std::string& name) { return fs::path(name).stem().string(); }

  void FindFiles() {
    Require(Exists(options_.in), ExitCode::kInputMissing, options_.in, " does not exist");
    const bool folder = IsDir(options_.in);
    const std::vector<std::string> paths =
        folder ? FilesUnder(options_.in) : std::vector<std::string>{options_.in};
    for (const std::string& path : paths) {
      const bool named = Lower(fs::path(path).extension().string()) == ".dcm";
      if (!named && !IsDicom(path)) continue;
      films_.push_back({path,
                        folder ? fs::path(path).lexically_relative(options_.in).string()
                               : fs::path(path).filename().string(),
                        "", "", "", "", ""});
    }
    Require(!films_.empty(), ExitCode::kInvalidData, options_.in, " holds no DICOM file");
  }

  void Survey(Film* film) {
    film->patient = film->image = film->study = film->name;  // of its own where nothing is said
    try {
      const DicomNames names = ReadDicomNames(film->path);
      if (!names.image_uid.empty()) film->image = names.image_uid;
      if (!names.study_uid.empty()) film->study = names.study_uid;
      if (!names.patient.empty()) film->patient = names.patient;
    } catch (const Error& error) {
      film->error = error.what();
    }
    film->report = reports_.Find({film->image, film->name, fs::path(film->name).filename().string(),
                                  Stem(film->name), film->study});
  }

  void Read(const Film& film, Record* record) const {
    if (!film.error.empty()) throw Unusable("not a film", film.error);
    record->image_id = Pseudonym(film.image);
    record->study_id = Pseudonym(film.study);
    record->patient_id = Pseudonym(film.patient);
    record->split = splits_.at(film.patient);
    // Films without a table of reports have none; with one, those that it leaves out are left out.
    record->report_hash = Hash64(film.image);  // films without a report are not each other's
    if (reports_.given()) SetReport(film.report, record);
    try {
      const Dicom dicom = ReadDicom(film.path);
      record->view = ParseView(dicom.view);
      SetImage(ToImage(dicom.pixels), options_.size, record);
    } catch (const Error& error) {
      throw Unusable("pixels unreadable", error.what());
    }
  }

  DicomOptions options_;
  std::vector<Film> films_;
  Reports reports_;
  SideBoxes boxes_;
  std::map<std::string, Split> splits_;
  Vocabulary vocabulary_;
};

}  // namespace

std::unique_ptr<Importer> OpenDicom(const DicomOptions& options) {
  return std::make_unique<DicomImporter>(options);
}

}  // namespace vesalius::data
