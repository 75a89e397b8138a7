// Shards of version 2: one packed row a record.
#include <type_traits>

#include "data/shards/fingerprint.h"
#include "data/shards/shard_file.h"
#include "data/shards/shard_row.h"

namespace vesalius::data {
namespace {

template <typename T>
std::string MemberType() {
  const char* kind = std::is_floating_point_v<T> ? "float" : std::is_signed_v<T> ? "int" : "uint";
  return StrCat(kind, 8 * sizeof(T));
}

// The name by which a packed compound of the members that `visit_all` visits is known
// (data/hdf5/survey.h), and its size.
template <typename VisitAll>
std::string RowTypeName(const VisitAll& visit_all, std::size_t* size) {
  std::string members;
  *size = 0;
  visit_all([&](const char* name, auto* values, RowDims dims) {
    using Value = std::remove_cv_t<std::remove_pointer_t<decltype(values)>>;
    members += StrCat(members.empty() ? "" : ", ", name, ": ", MemberType<Value>());
    for (const int n : dims) members += StrCat("[", n, "]");
    *size += RowCount(dims) * sizeof(Value);
  });
  return StrCat("{", members, "}");
}

class RowShard final : public ShardReader {
 public:
  explicit RowShard(std::unique_ptr<ShardFile> file) : file_(std::move(file)) {
    ShardRow row;
    Record record;
    SentenceRow sentence;
    record_ = &Table(shard::kRecord,
                     [&](const auto& visit) { VisitRow(row, record, file_->shape(), visit); });
    sentence_ =
        &Table(shard::kSentence, [&](const auto& visit) { VisitSentence(sentence, visit); });
    text_ = &file_->Array(shard::kText, "uint8", {});
    const std::uint64_t rows = record_->shape[0];
    ValidShard(rows == static_cast<std::uint64_t>(file_->records()), "data set '", shard::kRecord,
               "' has ", rows, " rows instead of ", file_->records());
  }

  std::int64_t records() const override { return file_->records(); }
  const ShardShape& shape() const override { return file_->shape(); }
  std::uint32_t schema_version() const override { return file_->version(); }
  std::uint64_t chunks() const override { return file_->arrays().chunks(); }
  std::int64_t Audit(std::uint64_t count, std::uint64_t seed) const override {
    return file_->arrays().Audit(count, seed);
  }

  Record Read(std::int64_t row) const override { return Decode({row, {}}, nullptr, nullptr); }
  std::string Report(std::int64_t row) const override;
  std::unique_ptr<Fetched> Fetch(std::span<const SampleRequest> requests) const override;

 private:
  class FetchedRows;

  template <typename VisitAll>
  const Hdf5Array& Table(const char* name, const VisitAll& visit_all) const {
    std::size_t size = 0;
    const std::string type = RowTypeName(visit_all, &size);
    const Hdf5Array& array = file_->Array(name, type, {});
    ValidShard(array.type.bytes == size, "data set '", name, "' has a wrong type");
    return array;
  }

  // `count` elements from `first` on. Beyond the end: Error(kInvalidData).
  std::vector<unsigned char> Bytes(const Hdf5Array& array, std::uint64_t first, std::uint64_t count,
                                   const Prefetched* ahead) const {
    ValidShard(first <= array.shape[0] && count <= array.shape[0] - first, "data set '",
               array.path.substr(1), "' has no elements ", first, " to ", first + count);
    std::vector<unsigned char> bytes(count * array.type.bytes);
    const std::uint64_t start[] = {first}, extent[] = {count};
    file_->arrays().Read(array, start, extent, bytes.data(), ahead);
    return bytes;
  }
  ByteRange Place(const Hdf5Array& array, std::uint64_t first, std::uint64_t count) const {
    return {array.offset + first * array.type.bytes, count * array.type.bytes};
  }

  ShardRow ReadRow(std::int64_t row, Record& record, const Prefetched* ahead) const {
    record.region_labels.resize(static_cast<std::size_t>(kRegions) * shape().findings);
    record.image_labels.resize(static_cast<std::size_t>(shape().image_labels));
    ShardRow stored;
    const auto bytes = Bytes(*record_, static_cast<std::uint64_t>(row), 1, ahead);
    VisitRow(stored, record, shape(), TakeFrom(bytes.data()));
    return stored;
  }
  void ReadTexts(const ShardRow& row, Record& record, const Prefetched* ahead) const;
  Record Decode(const SampleRequest& request, const Prefetched* rows, const Prefetched* rest) const;

  std::unique_ptr<ShardFile> file_;
  const Hdf5Array *record_ = nullptr, *sentence_ = nullptr, *text_ = nullptr;
};

// Identifiers, report and sentences.
void RowShard::ReadTexts(const ShardRow& row, Record& record, const Prefetched* ahead) const {
  const std::vector<unsigned char> text = Bytes(*text_, row.text, row.text_bytes, ahead);
  std::size_t at = 0;
  const auto take = [&](std::uint32_t bytes) {
    ValidShard(bytes <= text.size() - at, "its texts are longer than their sum");
    at += bytes;
    return std::string(reinterpret_cast<const char*>(text.data()) + at - bytes, bytes);
  };
  record.image_id = take(row.image_id);
  record.study_id = take(row.study_id);
  record.patient_id = take(row.patient_id);
  record.report = take(row.report);
  const auto stored = Bytes(*sentence_, row.sentence, row.sentences, ahead);
  for (std::uint32_t i = 0; i < row.sentences; ++i) {
    SentenceRow sentence;
    VisitSentence(sentence, TakeFrom(stored.data() + std::size_t{i} * sentence_->type.bytes));
    ValidShard(sentence.region < kRegions, "a sentence is of region ",
               static_cast<int>(sentence.region));
    ValidShard(shape().Holds(sentence.finding), "a sentence names finding ", sentence.finding,
               " of ", shape().findings);
    ValidShard(IsPolarity(sentence.polarity), "a sentence has polarity ",
               static_cast<int>(sentence.polarity), " instead of 0 or 1");
    record.sentences[sentence.region].push_back(
        {take(sentence.text), sentence.finding, sentence.polarity});
  }
}

Record RowShard::Decode(const SampleRequest& request, const Prefetched* rows,
                        const Prefetched* rest) const {
  Invariant(request.index >= 0 && request.index < records(), "record ", request.index, " of ",
            records(), " in ", file_->path());
  try {
    Record record;
    const ShardRow row = ReadRow(request.index, record, rows);
    ReadTexts(row, record, rest);
    ValidShard(FieldsCrc(record) == row.crc32c, "wrong checksum");
    record.image = file_->ReadImage(row.image_row, request.window, rest);
    return record;
  } catch (const Error& error) {
    if (error.code() != ExitCode::kInvalidData) throw;
    FailRecord(file_->path(), request.index, error.what());
  }
}

std::string RowShard::Report(std::int64_t row) const {
  Invariant(row >= 0 && row < records(), "record ", row, " of ", records(), " in ", file_->path());
  try {
    Record record;
    ReadTexts(ReadRow(row, record, nullptr), record, nullptr);
    return record.report;
  } catch (const Error& error) {
    if (error.code() != ExitCode::kInvalidData) throw;
    FailRecord(file_->path(), row, error.what());
  }
}

// In two steps: the rows, then what they point to.
class RowShard::FetchedRows final : public Fetched {
 public:
  FetchedRows(const RowShard& shard, std::span<const SampleRequest> requests)
      : shard_(shard),
        requests_(requests.begin(), requests.end()),
        rows_(shard.file_->arrays().file(), RowPlaces()),
        rest_(shard.file_->arrays().file(), OtherPlaces()) {}

  Record Decode(std::size_t i) const override {
    Invariant(i < requests_.size(), "request ", i, " of ", requests_.size());
    return shard_.Decode(requests_[i], &rows_, &rest_);
  }

 private:
  std::vector<ByteRange> RowPlaces() const {
    std::vector<ByteRange> places;
    for (const SampleRequest& request : requests_)
      places.push_back(shard_.Place(*shard_.record_, static_cast<std::uint64_t>(request.index), 1));
    return places;
  }
  std::vector<ByteRange> OtherPlaces() const {
    std::vector<ByteRange> places;
    for (const SampleRequest& request : requests_) {
      try {
        Record record;
        const ShardRow row = shard_.ReadRow(request.index, record, &rows_);
        AddTexts(*shard_.text_, row.text, row.text_bytes, places);
        AddTexts(*shard_.sentence_, row.sentence, row.sentences, places);
        shard_.file_->AddPlaces(row.image_row, request.window, places);
      } catch (const Error&) {
        continue;  // damaged: Decode() tells
      }
    }
    return places;
  }
  void AddTexts(const Hdf5Array& array, std::uint64_t first, std::uint64_t count,
                std::vector<ByteRange>& places) const {
    if (count > 0 && first <= array.shape[0] && count <= array.shape[0] - first)
      places.push_back(shard_.Place(array, first, count));
  }

  const RowShard& shard_;
  std::vector<SampleRequest> requests_;
  Prefetched rows_, rest_;
};

std::unique_ptr<Fetched> RowShard::Fetch(std::span<const SampleRequest> requests) const {
  return std::make_unique<FetchedRows>(*this, requests);
}

}  // namespace

std::unique_ptr<ShardReader> OpenRows(std::unique_ptr<ShardFile> file) {
  return std::make_unique<RowShard>(std::move(file));
}

}  // namespace vesalius::data
