// Shards of version 1: a data set for each field of the records.
#include "data/shards/fingerprint.h"
#include "data/shards/shard_file.h"

namespace vesalius::data {
namespace {

using Tail = std::vector<std::uint64_t>;

struct Strings {
  const Hdf5Array *offsets, *bytes;
};

class ColumnShard final : public ShardReader {
 public:
  explicit ColumnShard(std::unique_ptr<ShardFile> file) : file_(std::move(file)) {
    namespace v1 = shard::v1;
    const auto n = static_cast<std::uint64_t>(file_->records());
    const auto findings = static_cast<std::uint64_t>(shape().findings);
    const auto labels = static_cast<std::uint64_t>(shape().image_labels);
    image_row_ = Column(v1::kImageRow, "int64", {}, n);
    crc_ = Column(v1::kCrc, "uint32", {}, n);
    split_ = Column(v1::kSplit, "uint8", {}, n);
    view_ = Column(v1::kView, "uint8", {}, n);
    geometry_ = Column(v1::kGeometry, "int32", {4}, n);
    scale_ = Column(v1::kScale, "float32", {}, n);
    report_hash_ = Column(v1::kReportHash, "uint64", {}, n);
    boxes_ = Column(v1::kBoxes, "float32", {kRegions, 4}, n);
    box_valid_ = Column(v1::kBoxValid, "uint8", {kRegions}, n);
    region_labels_ = Column(v1::kRegionLabels, "int8", {kRegions, findings}, n);
    region_abnormal_ = Column(v1::kRegionAbnormal, "int8", {kRegions}, n);
    image_labels_ = Column(v1::kImageLabelRows, "int8", {labels}, n);
    sentence_first_ = Column(v1::kSentenceFirst, "uint64", {}, n + 1);
    sentence_region_ = &file_->Array(v1::kSentenceRegion, "uint8", {});
    const std::uint64_t m = sentence_region_->shape[0];
    sentence_finding_ = Column(v1::kSentenceFinding, "int16", {}, m);
    sentence_polarity_ = Column(v1::kSentencePolarity, "int8", {}, m);
    image_id_ = Texts(v1::kImageId, n);
    study_id_ = Texts(v1::kStudyId, n);
    patient_id_ = Texts(v1::kPatientId, n);
    report_ = Texts(v1::kReport, n);
    sentence_text_ = Texts(v1::kSentence, m);
  }

  std::int64_t records() const override { return file_->records(); }
  const ShardShape& shape() const override { return file_->shape(); }
  std::uint32_t schema_version() const override { return file_->version(); }
  std::uint64_t chunks() const override { return file_->arrays().chunks(); }
  std::int64_t Audit(std::uint64_t count, std::uint64_t seed) const override {
    return file_->arrays().Audit(count, seed);
  }

  Record Read(std::int64_t row) const override {
    Invariant(row >= 0 && row < records(), "record ", row, " of ", records(), " in ",
              file_->path());
    try {
      const auto index = static_cast<std::uint64_t>(row);
      Record record = ReadFields(index);
      ValidShard(RecordCrc(record) == Value<std::uint32_t>(crc_, index), "wrong checksum");
      return record;
    } catch (const Error& error) {
      if (error.code() != ExitCode::kInvalidData) throw;
      FailRecord(file_->path(), row, error.what());
    }
  }

  std::unique_ptr<Fetched> Fetch(std::span<const SampleRequest> requests) const override {
    return std::make_unique<FetchedLater>(*this, requests);
  }

 private:
  // A chunk is an image here, and the checksum is over all of it: nothing is saved by reading less.
  class FetchedLater final : public Fetched {
   public:
    FetchedLater(const ColumnShard& shard, std::span<const SampleRequest> requests)
        : shard_(shard), requests_(requests.begin(), requests.end()) {}
    Record Decode(std::size_t i) const override {
      Invariant(i < requests_.size(), "request ", i, " of ", requests_.size());
      Record record = shard_.Read(requests_[i].index);
      if (requests_[i].window.width > 0)
        record.image = CutWindow(record.image, requests_[i].window);
      return record;
    }

   private:
    const ColumnShard& shard_;
    std::vector<SampleRequest> requests_;
  };

  const Hdf5Array* Column(const std::string& name, const char* type, const Tail& tail,
                          std::uint64_t rows) const {
    const Hdf5Array& array = file_->Array(name, type, tail);
    ValidShard(array.shape[0] == rows, "data set '", name, "' has ", array.shape[0],
               " rows instead of ", rows);
    return &array;
  }
  Strings Texts(const char* name, std::uint64_t rows) const {
    return {Column(shard::v1::Offsets(name), "uint64", {}, rows + 1),
            &file_->Array(shard::v1::Bytes(name), "uint8", {})};
  }

  // `count` rows from `row` on, into `out`.
  void Rows(const Hdf5Array* array, std::uint64_t row, std::uint64_t count, void* out) const {
    ValidShard(row <= array->shape[0] && count <= array->shape[0] - row, "data set '",
               array->path.substr(1), "' has no rows ", row, " to ", row + count);
    Tail start(array->shape.size(), 0), extent = array->shape;
    start[0] = row;
    extent[0] = count;
    file_->arrays().Read(*array, start, extent, out);
  }
  template <typename T>
  T Value(const Hdf5Array* array, std::uint64_t row) const {
    T value;
    Rows(array, row, 1, &value);
    return value;
  }
  std::vector<std::string> ReadTexts(const Strings& strings, std::uint64_t row,
                                     std::uint64_t count) const {
    std::vector<std::uint64_t> offsets(count + 1);
    Rows(strings.offsets, row, count + 1, offsets.data());
    std::vector<std::string> texts(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      ValidShard(offsets[i] <= offsets[i + 1] && offsets[i + 1] <= strings.bytes->shape[0],
                 "data set '", strings.offsets->path.substr(1), "' is damaged");
      texts[i].resize(offsets[i + 1] - offsets[i]);
      Rows(strings.bytes, offsets[i], texts[i].size(), texts[i].data());
    }
    return texts;
  }
  std::string ReadText(const Strings& strings, std::uint64_t row) const {
    return ReadTexts(strings, row, 1).front();
  }
  void ReadSentences(std::uint64_t row, Record& record) const;
  Record ReadFields(std::uint64_t row) const;

  std::unique_ptr<ShardFile> file_;
  const Hdf5Array *image_row_, *crc_, *split_, *view_, *geometry_, *scale_, *report_hash_, *boxes_,
      *box_valid_, *region_labels_, *region_abnormal_, *image_labels_, *sentence_first_,
      *sentence_region_, *sentence_finding_, *sentence_polarity_;
  Strings image_id_, study_id_, patient_id_, report_, sentence_text_;
};

void ColumnShard::ReadSentences(std::uint64_t row, Record& record) const {
  std::uint64_t range[2];
  Rows(sentence_first_, row, 2, range);
  ValidShard(range[0] <= range[1] && range[1] <= sentence_region_->shape[0],
             "its sentences are beyond the last one");
  const std::uint64_t first = range[0], count = range[1] - range[0];
  std::vector<std::uint8_t> regions(count);
  std::vector<std::int16_t> findings(count);
  std::vector<std::int8_t> polarities(count);
  Rows(sentence_region_, first, count, regions.data());
  Rows(sentence_finding_, first, count, findings.data());
  Rows(sentence_polarity_, first, count, polarities.data());
  std::vector<std::string> texts = ReadTexts(sentence_text_, first, count);
  for (std::uint64_t i = 0; i < count; ++i) {
    ValidShard(regions[i] < kRegions && shape().Holds(findings[i]) && IsPolarity(polarities[i]),
               "a sentence is of region ", static_cast<int>(regions[i]), ", finding ", findings[i],
               " and polarity ", static_cast<int>(polarities[i]));
    record.sentences[regions[i]].push_back({std::move(texts[i]), findings[i], polarities[i]});
  }
}

Record ColumnShard::ReadFields(std::uint64_t row) const {
  Record record;
  record.image_id = ReadText(image_id_, row);
  record.study_id = ReadText(study_id_, row);
  record.patient_id = ReadText(patient_id_, row);
  record.split = Value<Split>(split_, row);
  record.view = Value<View>(view_, row);
  record.image = file_->ReadImage(Value<std::int64_t>(image_row_, row), {}, nullptr);
  std::int32_t geometry[4];
  Rows(geometry_, row, 1, geometry);
  record.geometry = {geometry[0], geometry[1], Value<float>(scale_, row), geometry[2], geometry[3]};
  record.report = ReadText(report_, row);
  record.report_hash = Value<std::uint64_t>(report_hash_, row);
  Rows(boxes_, row, 1, record.boxes.data());
  Rows(box_valid_, row, 1, record.box_valid.data());
  record.region_labels.resize(kRegions * static_cast<std::size_t>(shape().findings));
  Rows(region_labels_, row, 1, record.region_labels.data());
  Rows(region_abnormal_, row, 1, record.region_abnormal.data());
  record.image_labels.resize(static_cast<std::size_t>(shape().image_labels));
  Rows(image_labels_, row, 1, record.image_labels.data());
  ReadSentences(row, record);
  return record;
}

}  // namespace

std::unique_ptr<ShardReader> OpenColumns(std::unique_ptr<ShardFile> file) {
  return std::make_unique<ColumnShard>(std::move(file));
}

}  // namespace vesalius::data
