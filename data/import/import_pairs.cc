#include "data/import/import_pairs.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/random.h"
#include "data/images/image_codec.h"
#include "data/import/import_boxes.h"
#include "data/import/pairs_table.h"
#include "data/shards/writer.h"
#include "data/text/tokenizer.h"

namespace vesalius::data {
namespace {

constexpr std::size_t kLearntPieces = 8192;
constexpr char kQuarantineName[] = "quarantine.jsonl";

View ParseView(const std::string& cell) {
  const std::string view = Lower(Trim(cell));
  if (view.starts_with("ap")) return View::kAp;
  if (view.starts_with("pa")) return View::kPa;
  if (view == "l" || view == "ll" || view.starts_with("lat")) return View::kLateral;
  return View::kUnknown;
}

class Importer {
 public:
  explicit Importer(const ImportPairsOptions& options);
  ImportReport Run();

 private:
  std::string Cell(const TableRow& row, int column) const {
    return column < 0 ? "" : std::string(Trim(row.cells[static_cast<std::size_t>(column)]));
  }
  std::string Patient(const TableRow& row) const;
  void AssignSplits();
  std::string FindImage(const std::string& cell) const;
  Record ReadRecord(const TableRow& row) const;
  void AddBoxes(const TableRow& row, Record* record);
  void ImportRow(const TableRow& row, DatasetWriter* writer);
  void Quarantine(const TableRow& row, const std::string& reason, bool kept);
  void Finish(DatasetWriter* writer) const;
  void Warn() const;

  ImportPairsOptions options_;
  PairsTable pairs_;
  CocoBoxes coco_;
  std::vector<std::string> wordpieces_;                 // given; empty = to be learnt
  std::map<std::string, Split> splits_;                 // by patient, where the table has none
  std::map<std::string, std::set<Split>> seen_splits_;  // by patient, of what was written
  std::set<std::string> unknown_regions_;
  std::vector<std::string> training_texts_;
  ImportReport report_;
};

Importer::Importer(const ImportPairsOptions& options) : options_(options) {
  Require(options.size >= 16 && options.size <= 4096, ExitCode::kConfig, "the stored size ",
          options.size, " is out of range: 16 to 4096 pixels");
  Require(options.valid_share >= 0 && options.test_share >= 0 &&
              options.valid_share + options.test_share < 1,
          ExitCode::kConfig, "shares of ", options.valid_share, " (valid) and ", options.test_share,
          " (test) leave nothing to train on");
  if (!options.vocab.empty()) wordpieces_ = Tokenizer::FromFile(options.vocab).pieces();
  pairs_ = ReadPairsTable(options);
  const std::string boxes = FindBoxesFile(options, pairs_);
  if (!boxes.empty()) coco_ = CocoBoxes::FromFile(boxes);
  if (pairs_.split < 0) AssignSplits();
}

// Without a patient every image is taken for one of its own.
std::string Importer::Patient(const TableRow& row) const {
  const std::string patient = Cell(row, pairs_.patient);
  return patient.empty() ? Cell(row, pairs_.image) : patient;
}

// Patients in the order of a keyed hash: the first ones test, the next ones valid, the rest train.
void Importer::AssignSplits() {
  std::set<std::pair<std::uint64_t, std::string>> order;
  for (const TableRow& row : pairs_.table.rows) {
    if (!row.error.empty()) continue;
    const std::string patient = Patient(row);
    order.insert({Random(options_.seed, Purpose::kSplit, Hash64(patient)).Next64(), patient});
  }
  const auto total = static_cast<double>(order.size());
  // A share that was asked for gets at least one patient, as long as one is left to train on.
  const auto count = [&](double share) {
    return share > 0 ? std::max(1L, std::lround(share * total)) : 0L;
  };
  const long tests = count(options_.test_share), valids = count(options_.valid_share);
  const long most = static_cast<long>(order.size()) - 1;
  long index = 0;
  for (const auto& [hash, patient] : order) {
    const bool last = index >= most;
    splits_[patient] = last || index >= tests + valids ? Split::kTrain
                       : index < tests                 ? Split::kTest
                                                       : Split::kValid;
    ++index;
  }
}

std::string Importer::FindImage(const std::string& cell) const {
  Require(!cell.empty(), ExitCode::kInvalidData, "no image is named");
  if (cell.front() == '/') {
    Require(Exists(cell), ExitCode::kInputMissing, "image not found: ", cell);
    return cell;
  }
  const std::string beside = StrCat(pairs_.folder, "/", cell);
  if (Exists(beside)) return beside;
  const std::string inside = StrCat(pairs_.folder, "/images/", cell);
  Require(Exists(inside), ExitCode::kInputMissing, "image not found: neither ", beside, " nor ",
          inside, " exists");
  return inside;
}

Record Importer::ReadRecord(const TableRow& row) const {
  Require(row.error.empty(), ExitCode::kInvalidData, row.error);
  Record record;
  record.image_id = Cell(row, pairs_.image);
  record.patient_id = Patient(row);
  record.study_id = Cell(row, pairs_.study);
  if (record.study_id.empty()) record.study_id = record.image_id;
  record.view = ParseView(Cell(row, pairs_.view));
  record.split =
      pairs_.split < 0 ? splits_.at(record.patient_id) : ParseSplit(Cell(row, pairs_.split));
  record.report = Cell(row, pairs_.text);
  Require(!record.report.empty(), ExitCode::kInvalidData, "its text is empty");
  record.report_hash = Hash64(NormalisedText(record.report));
  const std::string path = FindImage(record.image_id);
  Require(!IsDir(path), ExitCode::kInvalidData, path, " is a folder, not an image");
  const Image image = ToGrey(DecodeImage(ReadFile(path), path));
  record.image = ResizePad(image, options_.size, &record.geometry);
  return record;
}

void Importer::AddBoxes(const TableRow& row, Record* record) {
  std::vector<PixelBox> boxes = coco_.Find(record->image_id);
  const std::vector<PixelBox> own = ParseBoxesCell(Cell(row, pairs_.boxes));
  boxes.insert(boxes.end(), own.begin(), own.end());
  for (const PixelBox& box : boxes)
    if (RegionId(box.region) < 0) unknown_regions_.insert(box.region);
  for (const std::string& fault : SetBoxes(boxes, record)) Quarantine(row, fault, true);
}

void Importer::Quarantine(const TableRow& row, const std::string& reason, bool kept) {
  report_.quarantined.push_back(
      {StrCat(pairs_.path, ", line ", row.line, ", ", Cell(row, pairs_.image)), reason, kept});
}

void Importer::ImportRow(const TableRow& row, DatasetWriter* writer) {
  Record record;
  try {
    record = ReadRecord(row);
    AddBoxes(row, &record);
  } catch (const Error& error) {
    if (error.code() == ExitCode::kBug) throw;
    Quarantine(row, error.what(), false);
    return;
  }
  writer->Add(record);
  ++report_.written;
  seen_splits_[record.patient_id].insert(record.split);
  if (std::any_of(record.box_valid.begin(), record.box_valid.end(), [](int v) { return v != 0; }))
    ++report_.with_boxes;
  if (record.split == Split::kTrain && wordpieces_.empty())
    training_texts_.push_back(record.report);
}

// The quarantine list, then the manifest: a data set never lacks its list.
void Importer::Finish(DatasetWriter* writer) const {
  std::string lines;
  for (const Quarantined& entry : report_.quarantined) {
    const nlohmann::ordered_json line = {
        {"source", entry.source}, {"reason", entry.reason}, {"kept", entry.kept}};
    lines += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  Vocabulary vocabulary;
  vocabulary.wordpieces =
      wordpieces_.empty() ? LearnVocabulary(training_texts_, kLearntPieces) : wordpieces_;
  const std::string path = StrCat(options_.out, "/", kQuarantineName);
  try {
    WriteFileAtomic(path, lines);
    writer->Finish(vocabulary);
  } catch (...) {
    ::unlink(path.c_str());
    throw;
  }
}

void Importer::Warn() const {
  const auto straddling = std::count_if(seen_splits_.begin(), seen_splits_.end(),
                                        [](const auto& entry) { return entry.second.size() > 1; });
  if (straddling > 0)
    log::Warning(pairs_.path, ": ", straddling,
                 " patients have images in several splits; figures on held-out images will be too "
                 "good (leave the split column out to split by patient)");
  if (!unknown_regions_.empty())
    log::Warning("boxes of regions that are not among the ", kRegions,
                 " known ones were passed over: ",
                 Join({unknown_regions_.begin(), unknown_regions_.end()}, ", "));
}

ImportReport Importer::Run() {
  DatasetWriter writer({options_.out, "import pairs", options_.size});
  const auto total = static_cast<std::int64_t>(pairs_.table.rows.size());
  for (const TableRow& row : pairs_.table.rows) {
    ImportRow(row, &writer);
    ++report_.read;
    if (options_.progress) options_.progress(report_.read, total);
  }
  Require(
      report_.written > 0, ExitCode::kInvalidData, pairs_.path, ": none of its ", total,
      " rows can be used",
      report_.quarantined.empty() ? "" : StrCat("; the first: ", report_.quarantined[0].reason));
  report_.patients = static_cast<std::int64_t>(seen_splits_.size());
  Finish(&writer);
  Warn();
  return std::move(report_);
}

}  // namespace

ImportReport ImportPairs(const ImportPairsOptions& options) { return Importer(options).Run(); }

}  // namespace vesalius::data
