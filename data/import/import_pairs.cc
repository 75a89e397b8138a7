#include "data/import/import_pairs.h"

#include "base/file.h"
#include "base/hash.h"
#include "data/images/image_codec.h"
#include "data/import/pairs_table.h"

namespace vesalius::data {
namespace {

class PairsImporter : public Importer {
 public:
  explicit PairsImporter(const PairsOptions& options);
  std::string name() const override { return "pairs"; }
  std::int64_t size() const override { return static_cast<std::int64_t>(pairs_.table.rows.size()); }
  Identity identity() const override;
  Converted Convert(std::int64_t item) const override;
  Vocabulary vocabulary() const override;

 private:
  std::string Cell(const TableRow& row, int column) const {
    return column < 0 ? "" : std::string(Trim(row.cells[static_cast<std::size_t>(column)]));
  }
  std::string Patient(const TableRow& row) const;
  Split SplitOf(const TableRow& row) const;
  std::string ImagePath(const std::string& cell) const;
  std::string FindImage(const std::string& cell) const;
  Record ReadRecord(const TableRow& row) const;
  std::vector<PixelBox> Boxes(const TableRow& row) const;
  void SurveyBoxes() const;

  PairsOptions options_;
  PairsTable pairs_;
  std::string boxes_file_;
  SideBoxes boxes_;
  std::map<std::string, Split> splits_;  // by patient, where the table has none
  Vocabulary vocabulary_;
};

PairsImporter::PairsImporter(const PairsOptions& options) : options_(options) {
  CheckShares(options);
  pairs_ = ReadPairsTable(options);
  boxes_file_ = FindBoxesFile(options, pairs_);
  if (!boxes_file_.empty()) boxes_ = SideBoxes::FromFile(boxes_file_);
  SurveyBoxes();
  if (pairs_.split < 0) {
    std::set<std::string> patients;
    for (const TableRow& row : pairs_.table.rows)
      if (row.error.empty()) patients.insert(Patient(row));
    splits_ = DrawSplits(patients, options_);
  }
  std::vector<std::string> texts;
  for (const TableRow& row : pairs_.table.rows) {
    if (!row.error.empty() || Cell(row, pairs_.text).empty()) continue;
    try {
      if (SplitOf(row) == Split::kTrain) texts.push_back(Cell(row, pairs_.text));
    } catch (const Error&) {  // an unknown split: Convert() tells
    }
  }
  vocabulary_.wordpieces = Wordpieces(options.vocab, texts);
}

Identity PairsImporter::identity() const {
  Digest digest;
  digest.Add(std::string_view(ReadFile(pairs_.path)));
  for (const std::string& file : {boxes_file_, options_.vocab})
    if (!file.empty()) digest.Add(std::string_view(ReadFile(file)));
  for (const TableRow& row : pairs_.table.rows)
    digest.Add(std::string_view(FileMark(ImagePath(Cell(row, pairs_.image)))));
  return {
      StrCat(options_.Words(), ", columns '", options_.image_column, "', '", options_.text_column,
             "', '", options_.patient_column, "', '", options_.split_column, "'"),
      digest.Hex()};
}

Vocabulary PairsImporter::vocabulary() const { return vocabulary_; }

// Without a patient every image is taken for one of its own.
std::string PairsImporter::Patient(const TableRow& row) const {
  const std::string patient = Cell(row, pairs_.patient);
  return patient.empty() ? Cell(row, pairs_.image) : patient;
}

Split PairsImporter::SplitOf(const TableRow& row) const {
  if (pairs_.split < 0) return splits_.at(Patient(row));
  try {
    return ParseSplit(Cell(row, pairs_.split));
  } catch (const Error& error) {
    throw Unusable("split unknown", error.what());
  }
}

// Where the image is looked for: as an absolute path, beside the table, in images/ there.
std::string PairsImporter::ImagePath(const std::string& cell) const {
  if (cell.starts_with('/')) return cell;
  const std::string beside = StrCat(pairs_.folder, "/", cell);
  return Exists(beside) ? beside : StrCat(pairs_.folder, "/images/", cell);
}

std::string PairsImporter::FindImage(const std::string& cell) const {
  if (cell.empty()) throw Unusable("image not named", "no image is named");
  const std::string path = ImagePath(cell);
  if (!Exists(path))
    throw Unusable("image missing", cell.starts_with('/')
                                        ? StrCat("image not found: ", cell)
                                        : StrCat("image not found: neither ", pairs_.folder, "/",
                                                 cell, " nor ", path, " exists"));
  if (IsDir(path)) throw Unusable("image missing", StrCat(path, " is a folder, not an image"));
  return path;
}

Record PairsImporter::ReadRecord(const TableRow& row) const {
  if (!row.error.empty()) throw Unusable("row malformed", row.error);
  Record record;
  record.image_id = Cell(row, pairs_.image);
  record.patient_id = Patient(row);
  record.study_id = Cell(row, pairs_.study);
  if (record.study_id.empty()) record.study_id = record.image_id;
  record.view = ParseView(Cell(row, pairs_.view));
  record.split = SplitOf(row);
  SetReport(Cell(row, pairs_.text), &record);
  const std::string path = FindImage(record.image_id);
  SetImage(DecodeImage(ReadFile(path), path), options_.size, &record);
  return record;
}

std::vector<PixelBox> PairsImporter::Boxes(const TableRow& row) const {
  std::vector<PixelBox> boxes = boxes_.Find(Cell(row, pairs_.image));
  try {
    const std::vector<PixelBox> own = ParseBoxesCell(Cell(row, pairs_.boxes));
    boxes.insert(boxes.end(), own.begin(), own.end());
  } catch (const Error& error) {
    throw Unusable("boxes malformed", error.what());
  }
  return boxes;
}

void PairsImporter::SurveyBoxes() const {
  std::set<std::string> regions;
  for (const TableRow& row : pairs_.table.rows) {
    if (pairs_.boxes < 0 || !row.error.empty()) continue;
    try {
      for (const PixelBox& box : ParseBoxesCell(Cell(row, pairs_.boxes)))
        regions.insert(box.region);
    } catch (const Error&) {  // Convert() tells
    }
  }
  WarnOfUnknownRegions(regions);
}

Converted PairsImporter::Convert(std::int64_t item) const {
  const TableRow& row = pairs_.table.rows[static_cast<std::size_t>(item)];
  const std::string source =
      StrCat(pairs_.path, ", line ", row.line, ", ", Cell(row, pairs_.image));
  return ConvertGuarded(source, [&](Converted* converted) {
    converted->record = ReadRecord(row);
    AddBoxes(Boxes(row), source, converted);
  });
}

}  // namespace

std::unique_ptr<Importer> OpenPairs(const PairsOptions& options) {
  return std::make_unique<PairsImporter>(options);
}

}  // namespace vesalius::data
