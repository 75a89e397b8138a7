#include "data/import/import_chexzero.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <regex>

#include "base/file.h"
#include "base/hash.h"
#include "data/hdf5/array_file.h"
#include "data/import/table.h"

namespace vesalius::data {
namespace {

namespace fs = std::filesystem;

// The only file in `folder` whose name ends so.
std::string OnlyFile(const std::string& folder, std::initializer_list<const char*> endings) {
  std::vector<std::string> found;
  for (const std::string& name : ListDir(folder))
    for (const char* ending : endings)
      if (Lower(name).ends_with(ending)) found.push_back(StrCat(folder, "/", name));
  Require(found.size() == 1, ExitCode::kInvalidData, folder, " holds ", found.size(),
          " files that end in ", *endings.begin(), "; name the one that you mean");
  return found[0];
}

// The images as the file has them: 8 bits where the values fit, whatever their type.
Image FromValues(const std::vector<float>& values, int width, int height) {
  Image image;
  image.width = width;
  image.height = height;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  if (std::any_of(values.begin(), values.end(), [](float v) { return !std::isfinite(v); }))
    throw Unusable("pixels unreadable", "it holds values that are no numbers");
  if (*low >= 0 && *high <= 255) {
    for (const float value : values)
      image.u8.push_back(static_cast<std::uint8_t>(std::lround(value)));
    return image;
  }
  const float range = std::max(*high - *low, 1e-6f);
  for (const float value : values)
    image.u16.push_back(static_cast<std::uint16_t>(std::lround((value - *low) / range * 65535)));
  return image;
}

class ChexzeroImporter final : public Importer {
 public:
  explicit ChexzeroImporter(const ChexzeroOptions& options)
      : options_(options), images_file_(ImagesFile(options.in)), images_(images_file_) {
    CheckShares(options);
    FindArray();
    ReadTexts();
    if (!options.boxes.empty()) boxes_ = SideBoxes::FromFile(options.boxes);
    std::set<std::string> patients;
    for (const TableRow& row : table_.rows) patients.insert(Patient(Name(row)));
    splits_ = DrawSplits(patients, options);
    std::vector<std::string> texts;
    for (const TableRow& row : table_.rows)
      if (row.error.empty() && splits_.at(Patient(Name(row))) == Split::kTrain)
        texts.push_back(Cell(row, text_));
    texts.erase(std::remove(texts.begin(), texts.end(), ""), texts.end());
    vocabulary_.wordpieces = Wordpieces(options.vocab, texts);
  }

  std::string name() const override { return "chexzero"; }
  std::int64_t size() const override { return static_cast<std::int64_t>(table_.rows.size()); }
  Vocabulary vocabulary() const override { return vocabulary_; }
  Identity identity() const override {
    Digest digest;
    digest.Add(std::string_view(FileMark(images_file_)));
    for (const std::string& file : {table_file_, options_.boxes, options_.vocab})
      if (!file.empty()) digest.Add(std::string_view(ReadFile(file)));
    return {options_.Words(), digest.Hex()};
  }

  Converted Convert(std::int64_t item) const override {
    const TableRow& row = table_.rows[static_cast<std::size_t>(item)];
    const std::string source = StrCat(table_file_, ":", row.line, " (", Name(row), ")");
    return ConvertGuarded(source, [&](Converted* out) {
      if (!row.error.empty()) throw Unusable("row malformed", row.error);
      Record& record = out->record.emplace();
      record.image_id = Name(row);
      record.patient_id = Patient(record.image_id);
      record.study_id = Study(record.image_id);
      record.split = splits_.at(record.patient_id);
      SetReport(Cell(row, text_), &record);
      SetImage(ReadImage(item), options_.size, &record);
      AddBoxes(boxes_.Find(record.image_id), source, out);
    });
  }

 private:
  static std::string ImagesFile(const std::string& in) {
    Require(Exists(in), ExitCode::kInputMissing, in, " does not exist");
    return IsDir(in) ? OnlyFile(in, {".h5", ".hdf5"}) : in;
  }

  void FindArray() {
    array_ = images_.Find("/cxr");
    Require(array_ != nullptr && array_->shape.size() == 3 && array_->shape[0] > 0 &&
                array_->shape[1] > 0 && array_->shape[2] > 0 && array_->shape[1] <= 1 << 14 &&
                array_->shape[2] <= 1 << 14 && array_->type.kind != ElementType::Kind::kOther,
            ExitCode::kInvalidData, images_file_,
            " has no data set 'cxr' of numbers [images, height, width]");
  }

  void ReadTexts() {
    table_file_ = options_.reports.empty()
                      ? OnlyFile(fs::path(images_file_).parent_path().string(), {".csv"})
                      : options_.reports;
    table_ = ReadTable(table_file_);
    text_ = table_.Column("impression");
    if (text_ < 0) text_ = table_.Column("report");
    Require(text_ >= 0, ExitCode::kInvalidData, table_file_, " has no column 'impression'");
    for (const char* column : {"filename", "path", "image"})
      if (name_ < 0) name_ = table_.Column(column);
    Require(table_.rows.size() == array_->shape[0], ExitCode::kInvalidData, table_file_, " has ",
            table_.rows.size(), " rows for the ", array_->shape[0], " images of ", images_file_,
            ": which row tells of which image is not known");
  }

  static std::string Cell(const TableRow& row, int column) {
    return column < 0 || !row.error.empty()
               ? ""
               : std::string(Trim(row.cells[static_cast<std::size_t>(column)]));
  }
  // Of an image that the table does not name, its line.
  std::string Name(const TableRow& row) const {
    const std::string name = Cell(row, name_);
    return name.empty() ? StrCat("line ", row.line) : name;
  }
  // The folder of MIMIC-CXR's paths that names the patient (p10000032) or the study (s50414267);
  // else the image is taken for one of its own.
  static std::string Part(const std::string& name, const std::regex& folder) {
    std::smatch match;
    return std::regex_search(name, match, folder) ? match[2].str() : name;
  }
  static std::string Patient(const std::string& name) {
    static const std::regex folder("(^|/)(p[0-9]{8})(/|\\.)");
    return Part(name, folder);
  }
  static std::string Study(const std::string& name) {
    static const std::regex folder("(^|/)(s[0-9]{8})(/|\\.)");
    return Part(name, folder);
  }

  Image ReadImage(std::int64_t item) const {
    const std::uint64_t start[] = {static_cast<std::uint64_t>(item), 0, 0};
    const std::uint64_t count[] = {1, array_->shape[1], array_->shape[2]};
    std::vector<unsigned char> bytes(count[1] * count[2] * array_->type.bytes);
    images_.Read(*array_, start, count, bytes.data());
    std::vector<float> values(count[1] * count[2]);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = Value(bytes.data() + i * array_->type.bytes);
    return FromValues(values, static_cast<int>(count[2]), static_cast<int>(count[1]));
  }
  float Value(const unsigned char* at) const {
    const auto as = [at](auto value) {
      std::memcpy(&value, at, sizeof(value));
      return static_cast<float>(value);
    };
    const bool whole = array_->type.kind == ElementType::Kind::kUnsigned;
    switch (array_->type.bytes) {
      case 1:
        return whole ? as(std::uint8_t{}) : as(std::int8_t{});
      case 2:
        return whole ? as(std::uint16_t{}) : as(std::int16_t{});
      case 4:
        return array_->type.kind == ElementType::Kind::kFloat ? as(float{})
               : whole                                        ? as(std::uint32_t{})
                                                              : as(std::int32_t{});
      default:
        return array_->type.kind == ElementType::Kind::kFloat ? as(double{})
               : whole                                        ? as(std::uint64_t{})
                                                              : as(std::int64_t{});
    }
  }

  ChexzeroOptions options_;
  std::string images_file_, table_file_;
  ArrayFile images_;
  const Hdf5Array* array_ = nullptr;
  Table table_;
  int text_ = -1, name_ = -1;
  SideBoxes boxes_;
  std::map<std::string, Split> splits_;
  Vocabulary vocabulary_;
};

}  // namespace

std::unique_ptr<Importer> OpenChexzero(const ChexzeroOptions& options) {
  return std::make_unique<ChexzeroImporter>(options);
}

}  // namespace vesalius::data
