#include "data/shards/fingerprint.h"

namespace vesalius::data {
namespace {

// Hands every byte of the record to `sink(const void*, std::size_t)`. Variable parts follow their
// length, so that no two different records give the same bytes.
template <typename Sink>
void VisitRecord(const Record& record, const Sink& sink) {
  const auto value = [&](const auto& x) { sink(&x, sizeof(x)); };
  const auto length = [&](std::size_t n) { value(static_cast<std::uint64_t>(n)); };
  const auto text = [&](const std::string& s) {
    length(s.size());
    sink(s.data(), s.size());
  };
  text(record.image_id);
  text(record.study_id);
  text(record.patient_id);
  text(record.report);
  value(record.split);
  value(record.view);
  const Image& image = record.image;
  value(static_cast<std::uint8_t>(image.deep()));
  value(image.width);
  value(image.height);
  value(image.channels);
  sink(image.u8.data(), image.u8.size());
  sink(image.u16.data(), image.u16.size() * sizeof(std::uint16_t));
  const Geometry& geometry = record.geometry;
  value(geometry.original_width);
  value(geometry.original_height);
  value(geometry.pad_left);
  value(geometry.pad_top);
  value(geometry.scale);
  value(record.report_hash);
  value(record.boxes);
  value(record.box_valid);
  length(record.region_labels.size());
  sink(record.region_labels.data(), record.region_labels.size());
  value(record.region_abnormal);
  length(record.image_labels.size());
  sink(record.image_labels.data(), record.image_labels.size());
  for (const auto& sentences : record.sentences) {
    length(sentences.size());
    for (const Sentence& sentence : sentences) {
      value(sentence.finding);
      value(sentence.polarity);
      text(sentence.text);
    }
  }
}

void AddTexts(Digest& digest, const std::vector<std::string>& texts) {
  digest.Add(static_cast<std::int64_t>(texts.size()));
  for (const std::string& text : texts) digest.Add(std::string_view(text));
}

void AddVocabulary(Digest& digest, const Vocabulary& vocabulary) {
  digest.Add(static_cast<std::int64_t>(vocabulary.findings.size()));
  for (const Finding& finding : vocabulary.findings) {
    digest.Add(std::string_view(finding.name));
    AddTexts(digest, finding.synonyms);
  }
  AddTexts(digest, vocabulary.image_labels);
  digest.Add(static_cast<std::int64_t>(vocabulary.can.size()));
  digest.Add(vocabulary.can.data(), vocabulary.can.size());
  for (const int parent : vocabulary.parent) digest.Add(static_cast<std::int64_t>(parent));
  AddTexts(digest, vocabulary.positive_forms);
  AddTexts(digest, vocabulary.negative_forms);
  AddTexts(digest, vocabulary.normal_forms);
  AddTexts(digest, vocabulary.wordpieces);
}

}  // namespace

std::uint32_t RecordCrc(const Record& record) {
  std::uint32_t crc = 0;
  VisitRecord(record, [&](const void* data, std::size_t n) { crc = Crc32c(data, n, crc); });
  return crc;
}

std::string RecordDigest(const Record& record) {
  Digest digest;
  VisitRecord(record, [&](const void* data, std::size_t n) { digest.Add(data, n); });
  return digest.Hex();
}

std::string Fingerprint::Finish(const Vocabulary& vocabulary) {
  AddVocabulary(digest_, vocabulary);
  return digest_.Hex();
}

void StreamedFingerprint::Add(const Record& record) {
  VisitRecord(record, [&](const void* data, std::size_t n) { digest_.Add(data, n); });
}

std::string StreamedFingerprint::Finish(const Vocabulary& vocabulary) {
  AddVocabulary(digest_, vocabulary);
  return digest_.Hex();
}

}  // namespace vesalius::data
