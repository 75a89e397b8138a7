#include "data/import/pairs_table.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"
#include "data/import/import_boxes.h"

namespace vesalius::data {
namespace {

// Usual names of columns, the better one first.
const std::vector<std::string> kImageNames = {"image",     "image_path", "imagepath", "img_path",
                                              "img",       "filepath",   "file_path", "path",
                                              "file_name", "filename",   "file"};
const std::vector<std::string> kTextNames = {
    "text",  "report", "report_text", "caption",  "clinical_notes",
    "notes", "title",  "description", "findings", "impression"};
const std::vector<std::string> kPatientNames = {"patient", "patient_id", "patientid",
                                                "subject", "subject_id", "subjectid"};
const std::vector<std::string> kStudyNames = {"study", "study_id", "studyid"};
const std::vector<std::string> kSplitNames = {"split"};
const std::vector<std::string> kViewNames = {"view", "view_position", "viewposition"};
const std::vector<std::string> kBoxesNames = {"boxes", "bboxes"};

bool HasEnding(const std::string& name, const std::vector<std::string>& endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [&](const std::string& ending) { return Lower(name).ends_with(ending); });
}

int Recognise(const Table& table, const std::vector<std::string>& names) {
  for (const std::string& name : names)
    if (const int column = table.Column(name); column >= 0) return column;
  return -1;
}

// The column that the user named, or that is recognised.
int FindColumn(const PairsTable& pairs, const std::string& named, const char* flag,
               const std::vector<std::string>& names, bool needed) {
  const std::string columns = Join(pairs.table.columns, ", ");
  if (!named.empty()) {
    const int column = pairs.table.Column(named);
    Require(column >= 0, ExitCode::kInvalidData, pairs.path, " has no column '", named, "'",
            DidYouMean(named, pairs.table.columns), "; its columns are: ", columns);
    return column;
  }
  const int column = Recognise(pairs.table, names);
  Require(column >= 0 || !needed, ExitCode::kInvalidData, pairs.path, " has no column named like ",
          names[0], " or ", names[1], "; its columns are: ", columns, "; name one with --", flag);
  return column;
}

bool LooksLikePairs(const std::string& path, const PairsOptions& options) {
  try {
    const Table table = ReadTable(path);
    const auto has = [&](const std::string& named, const std::vector<std::string>& names) {
      return named.empty() ? Recognise(table, names) >= 0 : table.Column(named) >= 0;
    };
    return has(options.image_column, kImageNames) && has(options.text_column, kTextNames);
  } catch (const Error&) {
    return false;
  }
}

std::string FindTable(const PairsOptions& options) {
  const std::string& in = options.in;
  Require(Exists(in), ExitCode::kInputMissing, in, " does not exist; check the spelling of --in");
  if (!IsDir(in)) return in;
  for (const char* name : {"metadata.csv", "metadata.jsonl"})
    if (const std::string path = StrCat(in, "/", name); Exists(path)) return path;
  std::vector<std::string> found;
  for (const std::string& name : ListDir(in)) {
    const std::string path = StrCat(in, "/", name);
    if (!IsDir(path) && HasEnding(name, {".csv", ".tsv", ".jsonl", ".ndjson"}) &&
        LooksLikePairs(path, options))
      found.push_back(path);
  }
  Require(!found.empty(), ExitCode::kInputMissing, in,
          " holds no CSV or JSONL file with an image and a text column; name the columns with "
          "--image-column and --text-column, or the file itself with --in");
  Require(found.size() == 1, ExitCode::kInvalidData, in, " holds several tables of pairs (",
          Join(found, ", "), "); name the one that you mean with --in");
  return found[0];
}

}  // namespace

PairsTable ReadPairsTable(const PairsOptions& options) {
  PairsTable pairs;
  pairs.path = FindTable(options);
  pairs.folder = std::filesystem::path(pairs.path).parent_path();
  if (pairs.folder.empty()) pairs.folder = ".";
  pairs.table = ReadTable(pairs.path);
  pairs.image = FindColumn(pairs, options.image_column, "image-column", kImageNames, true);
  pairs.text = FindColumn(pairs, options.text_column, "text-column", kTextNames, true);
  pairs.patient = FindColumn(pairs, options.patient_column, "patient-column", kPatientNames, false);
  pairs.split = FindColumn(pairs, options.split_column, "split-column", kSplitNames, false);
  pairs.study = Recognise(pairs.table, kStudyNames);
  pairs.view = Recognise(pairs.table, kViewNames);
  pairs.boxes = Recognise(pairs.table, kBoxesNames);
  return pairs;
}

std::string FindBoxesFile(const PairsOptions& options, const PairsTable& pairs) {
  if (!options.boxes.empty()) return options.boxes;
  std::vector<std::string> found;
  for (const std::string& name : ListDir(pairs.folder)) {
    const std::string path = StrCat(pairs.folder, "/", name);
    if (!IsDir(path) && HasEnding(name, {".json"}) && SideBoxes::RecogniseCoco(path))
      found.push_back(path);
  }
  Require(found.size() <= 1, ExitCode::kInvalidData, pairs.folder,
          " holds several files of COCO boxes (", Join(found, ", "), "); name one with --boxes");
  return found.empty() ? "" : found[0];
}

}  // namespace vesalius::data
