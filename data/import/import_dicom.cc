#include "data/import/import_dicom.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <unordered_map>

#include "base/file.h"
#include "base/hash.h"
#include "data/import/dicom_file.h"
#include "data/import/files_under.h"
#include "data/import/pairs_table.h"

namespace vesalius::data {
namespace {

namespace fs = std::filesystem;

struct Film {
  std::string path, name;      // name: below the folder of the import
  std::string error;           // why the header cannot be read
  std::string patient, study;  // numbers that stand for them
  Split split = Split::kTrain;
  View view = View::kUnknown;
  std::string text;
};

std::string Numbered(const char* what, std::size_t number) {
  char text[40];
  std::snprintf(text, sizeof(text), "%s-%06zu", what, number);
  return text;
}

// Letters only: what a code may hold, and nothing that people could have typed as a name with it.
std::string Code(const std::string& value) {
  const bool good = std::all_of(value.begin(), value.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || c == ' ' || c == '_';
  });
  return good ? Lower(value) : "";
}

std::string Describe(const DicomHeader& header) {
  std::vector<std::string> words;
  for (const std::string& value : {header.modality, header.body_part, header.view})
    if (const std::string code = Code(value); !code.empty()) words.push_back(code);
  return Join(words, " ");
}

// Texts by whatever the table names films with.
class Texts {
 public:
  explicit Texts(const std::string& path) {
    if (path.empty()) return;
    used_ = true;
    const Table table = ReadTable(path);
    const int text = FindTextColumn(table), image = FindImageColumn(table);
    const int study = FindStudyColumn(table);
    Require(text >= 0 && (image >= 0 || study >= 0), ExitCode::kInvalidData, path,
            " needs a text column and one that names image or study; its columns are: ",
            Join(table.columns, ", "));
    for (const TableRow& row : table.rows) {
      Require(row.error.empty(), ExitCode::kInvalidData, path, ", line ", row.line, ": ",
              row.error);
      for (const int column : {image, study})
        if (column >= 0)
          texts_[std::string(Trim(row.cells[std::size_t(column)]))] = row.cells[std::size_t(text)];
    }
  }
  std::string Find(const Film& film, const DicomHeader& header) const {
    if (!used_) return Describe(header);
    const std::string file = fs::path(film.name).filename().string();
    for (const std::string& key :
         {film.name, file, fs::path(file).stem().string(), header.instance, header.study})
      if (const auto found = texts_.find(key); !key.empty() && found != texts_.end())
        return found->second;
    return "";
  }

 private:
  bool used_ = false;
  std::unordered_map<std::string, std::string> texts_;
};

class DicomImporter : public Importer {
 public:
  explicit DicomImporter(const DicomOptions& options) : options_(options) {
    CheckShares(options);
    ListFilms();
    ReadHeaders();
    if (!options.boxes.empty()) boxes_ = SideBoxes::FromFile(options.boxes);
    std::vector<std::string> texts;
    for (const Film& film : films_)
      if (film.split == Split::kTrain && film.error.empty()) texts.push_back(film.text);
    vocabulary_.wordpieces = Wordpieces(options.vocab, texts);
  }
  std::string name() const override { return "dicom"; }
  std::int64_t size() const override { return static_cast<std::int64_t>(films_.size()); }
  Vocabulary vocabulary() const override { return vocabulary_; }
  Identity identity() const override {
    Digest digest;
    for (const Film& film : films_) digest.Add(std::string_view(FileMark(film.path)));
    for (const std::string& file : {options_.boxes, options_.vocab, options_.reports})
      if (!file.empty()) digest.Add(std::string_view(ReadFile(file)));
    return {StrCat(options_.Words(), ", reports '", options_.reports, "'"), digest.Hex()};
  }
  Converted Convert(std::int64_t item) const override {
    const Film& film = films_[static_cast<std::size_t>(item)];
    return ConvertGuarded(film.path, [&](Converted* converted) {
      if (!film.error.empty()) throw Unusable("no readable DICOM", film.error);
      Record record;
      record.image_id = film.name;
      record.patient_id = film.patient;
      record.study_id = film.study;
      record.split = film.split;
      record.view = film.view;
      SetPixels(film.path, &record);
      SetReport(film.text, &record);
      converted->record = std::move(record);
      AddBoxes(boxes_.Find(film.name), film.path, converted);
    });
  }

 private:
  void SetPixels(const std::string& path, Record* record) const {
    try {
      SetImage(Render(ReadDicomPixels(path)), options_.size, record);
    } catch (const Error& error) {
      throw Unusable("no readable picture", error.what());
    }
  }

  void ListFilms() {
    const std::string& in = options_.in;
    Require(Exists(in), ExitCode::kInputMissing, in, " does not exist; check the spelling of --in");
    const fs::path root = IsDir(in) ? fs::path(in) : fs::path(in).parent_path();
    for (const std::string& file : IsDir(in) ? FilesUnder(in) : std::vector<std::string>{in})
      if (LooksLikeDicom(file)) {
        Film film;
        film.path = file;
        film.name = root.empty() ? file : fs::path(file).lexically_relative(root).string();
        films_.push_back(std::move(film));
      }
    Require(!films_.empty(), ExitCode::kInputMissing, in, " holds no DICOM file");
  }

  // Patients and studies are told apart by their identifiers, and known by numbers from then on.
  void ReadHeaders() {
    const Texts texts(options_.reports);
    std::unordered_map<std::string, std::string> patients, studies;
    std::vector<std::string> identifiers;
    for (Film& film : films_) {
      DicomHeader header;
      try {
        header = ReadDicomHeader(film.path);
      } catch (const Error& error) {
        film.error = error.what();
      }
      const std::string patient = header.patient.empty() ? film.name : header.patient;
      const std::string study = header.study.empty() ? film.name : header.study;
      identifiers.push_back(patient);
      film.patient =
          patients.try_emplace(patient, Numbered("patient", patients.size())).first->second;
      film.study = studies.try_emplace(study, Numbered("study", studies.size())).first->second;
      film.view = ParseView(header.view);
      film.text = texts.Find(film, header);
    }
    const auto splits = DrawSplits({identifiers.begin(), identifiers.end()}, options_);
    for (std::size_t i = 0; i < films_.size(); ++i) films_[i].split = splits.at(identifiers[i]);
  }

  DicomOptions options_;
  std::vector<Film> films_;
  SideBoxes boxes_;
  Vocabulary vocabulary_;
};

}  // namespace

std::unique_ptr<Importer> OpenDicom(const DicomOptions& options) {
  return std::make_unique<DicomImporter>(options);
}

}  // namespace vesalius::data
