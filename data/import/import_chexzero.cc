#include "data/import/import_chexzero.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "base/hash.h"
#include "data/hdf5/array_file.h"
#include "data/import/table.h"

namespace vesalius::data {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kTextNames = {"impression", "report", "findings", "text"};
const std::vector<std::string> kPathNames = {"filename", "path", "image", "image_path"};

int First(const Table& table, const std::vector<std::string>& names) {
  for (const std::string& name : names)
    if (const int column = table.Column(name); column >= 0) return column;
  return -1;
}

// The one file of `folder` with one of the endings, "" when there is none.
std::string OneFile(const std::string& folder, const std::vector<std::string>& endings,
                    const char* flag) {
  std::vector<std::string> found;
  for (const std::string& name : ListDir(folder))
    for (const std::string& ending : endings)
      if (Lower(name).ends_with(ending)) found.push_back(StrCat(folder, "/", name));
  Require(found.size() <= 1, ExitCode::kInvalidData, folder, " holds several candidates (",
          Join(found, ", "), "); name one with --", flag);
  return found.empty() ? "" : found[0];
}

// "p10000032" and "s50414267" out of a path of MIMIC-CXR; "" where there is no such part.
std::string PathPart(const std::string& path, char letter) {
  for (const std::string& part : vesalius::Split(path, '/')) {
    const std::string name = part.substr(0, part.find('.'));
    const bool digits = name.size() > 5 && name[0] == letter &&
                        std::all_of(name.begin() + 1, name.end(),
                                    [](unsigned char c) { return std::isdigit(c) != 0; });
    if (digits) return name;
  }
  return "";
}

template <typename T>
std::vector<double> ValuesOf(const std::vector<unsigned char>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return std::vector<double>(values.begin(), values.end());
}

using Kind = ElementType::Kind;

std::vector<double> Numbers(const ElementType& type, const std::vector<unsigned char>& bytes) {
  if (type.kind == Kind::kFloat && type.bytes == 4) return ValuesOf<float>(bytes);
  if (type.kind == Kind::kFloat && type.bytes == 8) return ValuesOf<double>(bytes);
  if (type.kind == Kind::kUnsigned && type.bytes == 1) return ValuesOf<std::uint8_t>(bytes);
  if (type.kind == Kind::kUnsigned && type.bytes == 2) return ValuesOf<std::uint16_t>(bytes);
  Fail(ExitCode::kInvalidData, "images of type ", type.name, " are not imported");
}

// CheXzero stores 8-bit pixels as float32. Values beyond 255 are 16-bit ones; fractions of one are
// spread over 16 bits.
Image ToImage(const std::vector<double>& values, const ElementType& type, int width, int height) {
  Image image{width, height, 1, {}, {}};
  double low = 0, high = 0;
  bool whole = true;
  for (const double v : values) {
    if (!std::isfinite(v)) throw Unusable("pixels out of range", "a pixel is not finite");
    low = std::min(low, v);
    high = std::max(high, v);
    whole = whole && v == std::floor(v);
  }
  const bool share = type.kind == Kind::kFloat && high <= 1 && !whole;
  if (low < 0 || high > 65535)
    throw Unusable("pixels out of range",
                   StrCat("pixels from ", low, " to ", high, "; 0 to 65535 are imported"));
  const bool deep = share || high > 255 || (type.kind == Kind::kUnsigned && type.bytes == 2);
  for (const double v : values) {
    if (deep)
      image.u16.push_back(static_cast<std::uint16_t>(std::lround(share ? v * 65535 : v)));
    else
      image.u8.push_back(static_cast<std::uint8_t>(std::lround(v)));
  }
  return image;
}

class CheXzero : public Importer {
 public:
  explicit CheXzero(const CheXzeroOptions& options);
  std::string name() const override { return "chexzero"; }
  std::int64_t size() const override {
    return static_cast<std::int64_t>(std::max<std::uint64_t>(images_->shape[0], rows()));
  }
  Identity identity() const override;
  Converted Convert(std::int64_t item) const override;
  Vocabulary vocabulary() const override { return vocabulary_; }

 private:
  std::size_t rows() const { return table_.rows.size(); }
  void FindFiles();
  void FindImages();
  void Survey();
  std::string Cell(std::size_t row, int column) const {
    return column < 0 ? "" : std::string(Trim(table_.rows[row].cells[std::size_t(column)]));
  }
  std::string Name(std::size_t row) const {
    const std::string path = Cell(row, path_);
    return path.empty() ? StrCat("row-", row) : path;
  }
  std::string Patient(std::size_t row) const {
    const std::string patient = PathPart(Name(row), 'p');
    return patient.empty() ? Name(row) : patient;
  }
  Image ReadImage(std::uint64_t row) const;

  CheXzeroOptions options_;
  std::string images_file_, reports_file_;
  std::unique_ptr<ArrayFile> file_;
  const Hdf5Array* images_ = nullptr;
  Table table_;
  int text_ = -1, path_ = -1;
  std::map<std::string, data::Split> splits_;
  SideBoxes boxes_;
  Vocabulary vocabulary_;
};

CheXzero::CheXzero(const CheXzeroOptions& options) : options_(options) {
  CheckShares(options);
  FindFiles();
  FindImages();
  table_ = ReadTable(reports_file_);
  text_ =
      options.text_column.empty() ? First(table_, kTextNames) : table_.Column(options.text_column);
  path_ = First(table_, kPathNames);
  Require(text_ >= 0, ExitCode::kInvalidData, reports_file_,
          options.text_column.empty() ? " has no column named like impression or report"
                                      : StrCat(" has no column '", options.text_column, "'"),
          "; its columns are: ", Join(table_.columns, ", "), "; name one with --text-column");
  if (!options.boxes.empty()) boxes_ = SideBoxes::FromFile(options.boxes);
  Survey();
}

void CheXzero::FindFiles() {
  const std::string& in = options_.in;
  Require(Exists(in), ExitCode::kInputMissing, in, " does not exist; check the spelling of --in");
  std::string folder = IsDir(in) ? in : fs::path(in).parent_path().string();
  if (folder.empty()) folder = ".";
  images_file_ = IsDir(in) ? OneFile(in, {".h5", ".hdf5"}, "in") : in;
  Require(!images_file_.empty(), ExitCode::kInputMissing, in, " holds no .h5 file");
  reports_file_ =
      options_.reports.empty() ? OneFile(folder, {".csv"}, "reports") : options_.reports;
  Require(!reports_file_.empty(), ExitCode::kInputMissing, folder,
          " holds no CSV with the reports; name it with --reports");
}

// The data set `cxr`, else the only one with three dimensions.
void CheXzero::FindImages() {
  file_ = std::make_unique<ArrayFile>(images_file_);
  images_ = file_->Find("/cxr");
  for (const Hdf5Array& array : file_->arrays()) {
    if (images_ != nullptr) break;
    if (array.shape.size() == 3) images_ = &array;
  }
  Require(images_ != nullptr && images_->shape.size() == 3, ExitCode::kInvalidData, images_file_,
          " holds no data set of images with the shape [images, height, width]");
  Require(images_->shape[1] - 1 < 16384 && images_->shape[2] - 1 < 16384, ExitCode::kInvalidData,
          images_file_, " holds images of ", images_->shape[2], " x ", images_->shape[1],
          " pixels");
}

void CheXzero::Survey() {
  std::set<std::string> patients;
  for (std::size_t row = 0; row < rows(); ++row) patients.insert(Patient(row));
  splits_ = DrawSplits(patients, options_);
  std::vector<std::string> texts;
  for (std::size_t row = 0; row < rows(); ++row)
    if (table_.rows[row].error.empty() && splits_.at(Patient(row)) == data::Split::kTrain)
      texts.push_back(Cell(row, text_));
  vocabulary_.wordpieces = Wordpieces(options_.vocab, texts);
}

Identity CheXzero::identity() const {
  Digest digest;
  digest.Add(std::string_view(FileMark(images_file_)));
  for (const std::string& file : {reports_file_, options_.boxes, options_.vocab})
    if (!file.empty()) digest.Add(std::string_view(ReadFile(file)));
  return {StrCat(options_.Words(), ", text column '", options_.text_column, "'"), digest.Hex()};
}

Image CheXzero::ReadImage(std::uint64_t row) const {
  const std::uint64_t height = images_->shape[1], width = images_->shape[2];
  const std::uint64_t start[] = {row, 0, 0}, count[] = {1, height, width};
  std::vector<unsigned char> bytes(height * width * images_->type.bytes);
  file_->Read(*images_, start, count, bytes.data());
  return ToImage(Numbers(images_->type, bytes), images_->type, static_cast<int>(width),
                 static_cast<int>(height));
}

Converted CheXzero::Convert(std::int64_t item) const {
  const auto row = static_cast<std::size_t>(item);
  const std::string source = StrCat(images_file_, ", image ", item);
  return ConvertGuarded(source, [&](Converted* converted) {
    if (row >= rows()) throw Unusable("no report", "the table has no row for it");
    const TableRow& entry = table_.rows[row];
    if (!entry.error.empty()) throw Unusable("row malformed", entry.error);
    if (row >= images_->shape[0]) throw Unusable("no image", "the table has more rows than images");
    Record record;
    record.image_id = Name(row);
    record.patient_id = Patient(row);
    record.study_id = PathPart(record.image_id, 's');
    if (record.study_id.empty()) record.study_id = record.image_id;
    record.split = splits_.at(record.patient_id);
    SetReport(Cell(row, text_), &record);
    SetImage(ReadImage(row), options_.size, &record);
    converted->record = std::move(record);
    AddBoxes(boxes_.Find(Name(row)), source, converted);
  });
}

}  // namespace

std::unique_ptr<Importer> OpenCheXzero(const CheXzeroOptions& options) {
  return std::make_unique<CheXzero>(options);
}

}  // namespace vesalius::data
