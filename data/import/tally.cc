#include "data/import/tally.h"

#include <algorithm>
#include <bit>

#include "base/log.h"

namespace vesalius::data {

// Whether `key` was there before.
template <typename Key>
bool Tally::See(Index<Key>* index, const Key& key, Split split, const std::string& image) {
  const auto [at, fresh] = index->try_emplace(key);
  if (fresh) at->second.first = image;
  at->second.splits |= static_cast<std::uint8_t>(1u << static_cast<int>(split));
  return !fresh;
}

// How many are in several splits; warns with the example that sorts first.
template <typename Key>
std::int64_t Tally::Leaks(const Index<Key>& index, const char* what, const char* remedy) {
  std::int64_t count = 0;
  const std::string* example = nullptr;
  for (const auto& [key, seen] : index) {
    if (std::popcount(seen.splits) < 2) continue;
    ++count;
    if (example == nullptr || seen.first < *example) example = &seen.first;
  }
  if (count > 0)
    log::Warning(count, " ", what, " in several splits (one is that of ", *example, "); ", remedy);
  return count;
}

void Tally::Add(Part part) {
  report_.read += part.read;
  report_.written += part.shard.records;
  for (std::size_t i = 0; i < part.records.size(); ++i) {
    const RecordTrace& record = part.records[i];
    const Split split = part.shard.splits[i];
    fingerprint_.AddDigest(record.digest);
    report_.with_boxes += record.boxes;
    ++report_.splits[static_cast<std::size_t>(split)];
    See(&patients_, record.patient_id, split, record.image_id);
    report_.duplicate_reports += See(&reports_, record.report, split, record.image_id);
    report_.duplicate_images += See(&images_, record.pixels, split, record.image_id);
  }
  std::move(part.quarantined.begin(), part.quarantined.end(),
            std::back_inserter(report_.quarantined));
  if (part.shard.records > 0) manifest_.shards.push_back(std::move(part.shard));
}

Manifest Tally::Finish(const Vocabulary& vocabulary) {
  manifest_.split_counts = report_.splits;
  manifest_.vocabulary = vocabulary;
  manifest_.fingerprint = fingerprint_.Finish(vocabulary);
  return std::move(manifest_);
}

ImportReport Tally::Report() {
  report_.patients = static_cast<std::int64_t>(patients_.size());
  report_.leaking_patients =
      Leaks(patients_, "patients have images",
            "figures on held-out images will be too good (leave the splits out to have them drawn "
            "by patient)");
  report_.leaking_images =
      Leaks(images_, "images are", "the same picture is trained on and held out");
  report_.leaking_reports =
      Leaks(reports_, "reports are", "the same text is trained on and held out");
  return std::move(report_);
}

}  // namespace vesalius::data
