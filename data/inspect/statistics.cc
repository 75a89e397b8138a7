#include "data/inspect/statistics.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "base/strings.h"

namespace vesalius::data {
namespace {

using nlohmann::json;

constexpr std::size_t kCommonSizes = 5;

std::uint64_t PixelHash(const Image& image) {
  const void* data = image.deep() ? static_cast<const void*>(image.u16.data()) : image.u8.data();
  const std::size_t bytes = image.deep() ? image.u16.size() * 2 : image.u8.size();
  return Hash64({static_cast<const char*>(data), bytes}) ^ (image.deep() ? Mix64(1) : 0);
}

// Characters of UTF-8.
std::int64_t Characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

json LeaksToJson(const Repeats::Summary& summary) {
  return {{"in_several_splits", summary.in_several_splits},
          {"train_valid", summary.train_valid},
          {"train_test", summary.train_test},
          {"valid_test", summary.valid_test}};
}

}  // namespace

Statistics::Statistics(const std::vector<std::string>& wordpieces) {
  if (!wordpieces.empty()) tokenizer_.emplace(wordpieces);
}

void Statistics::Add(const Record& record) {
  ++records_;
  deep_ += record.image.deep();
  ++splits_.at(static_cast<std::size_t>(record.split));
  ++views_.at(static_cast<std::size_t>(record.view));
  const Geometry& geometry = record.geometry;
  ++sizes_[{geometry.original_width, geometry.original_height}];
  widths_.Add(geometry.original_width);
  heights_.Add(geometry.original_height);
  if (!record.patient_id.empty()) patients_.Add(Hash64(record.patient_id), record.split);
  if (!record.study_id.empty())
    studies_.Add(Hash64(StrCat(record.patient_id, '\n', record.study_id)), record.split);
  images_.Add(PixelHash(record.image), record.split);
  AddReport(record);
  AddRegions(record);
  image_labels_.resize(record.image_labels.size());
  for (std::size_t i = 0; i < record.image_labels.size(); ++i)
    image_labels_[i].Add(record.image_labels[i]);
}

void Statistics::AddReport(const Record& record) {
  const auto bytes = static_cast<std::int64_t>(record.report.size());
  shortest_ = records_ == 1 ? bytes : std::min(shortest_, bytes);
  longest_ = std::max(longest_, bytes);
  bytes_ += bytes;
  empty_ += Trim(record.report).empty();
  characters_.Add(Characters(record.report));
  if (tokenizer_)
    tokens_.Add(static_cast<std::int64_t>(tokenizer_->EncodeWithSpecials(record.report).size()));
  reports_.Add(record.report_hash, record.split);
}

void Statistics::AddRegions(const Record& record) {
  std::int64_t boxes = 0, sentences = 0;
  for (int r = 0; r < kRegions; ++r) {
    Region& region = regions_[r];
    const auto spoken = static_cast<std::int64_t>(record.sentences[r].size());
    region.sentences += spoken;
    sentences += spoken;
    region.abnormal.Add(record.region_abnormal[r]);
    if (record.box_valid[r] == 0) continue;
    ++region.boxes;
    ++boxes;
    const Box& box = record.boxes[r];
    const std::array<float, 4> values{box.cx, box.cy, box.w, box.h};
    for (std::size_t i = 0; i < values.size(); ++i) region.sum[i] += values[i];
  }
  boxes_.Add(boxes);
  sentences_.Add(sentences);
  with_boxes_ += boxes > 0;
  findings_.resize(record.region_labels.size() / kRegions);
  for (std::size_t i = 0; i < record.region_labels.size(); ++i)
    findings_[i % findings_.size()].Add(record.region_labels[i]);
}

json Statistics::Labels::ToJson() const {
  return {{"yes", yes}, {"no", no}, {"not_mentioned", not_mentioned}};
}

json Statistics::LabelsToJson(const std::vector<Labels>& labels,
                              const std::vector<std::string>& names) {
  json result = json::object();
  for (std::size_t i = 0; i < labels.size(); ++i)
    result[i < names.size() ? names[i] : std::to_string(i)] = labels[i].ToJson();
  return result;
}

json Statistics::SizesToJson() const {
  std::vector<std::pair<std::int64_t, std::pair<int, int>>> common;
  for (const auto& [size, count] : sizes_) common.push_back({-count, size});
  const std::size_t shown = std::min(common.size(), kCommonSizes);
  std::partial_sort(common.begin(), common.begin() + static_cast<std::ptrdiff_t>(shown),
                    common.end());
  json list = json::array();
  for (std::size_t i = 0; i < shown; ++i)
    list.push_back({{"width", common[i].second.first},
                    {"height", common[i].second.second},
                    {"images", -common[i].first}});
  return {{"width", widths_.ToJson()},
          {"height", heights_.ToJson()},
          {"distinct", sizes_.size()},
          {"common", std::move(list)}};
}

json Statistics::ReportsToJson(const Repeats::Summary& texts) const {
  return {{"distinct", texts.distinct},
          {"duplicates", texts.repeats},
          {"empty", empty_},
          {"shortest_bytes", shortest_},
          {"longest_bytes", longest_},
          {"mean_bytes", records_ > 0 ? double(bytes_) / double(records_) : 0},
          {"characters", characters_.ToJson()},
          {"tokens", tokens_.ToJson()},
          {"sentences", sentences_.ToJson()}};
}

json Statistics::RegionsToJson() const {
  json result = json::object();
  for (int r = 0; r < kRegions; ++r) {
    const Region& region = regions_[r];
    json& entry = result[kRegionNames[r]];
    entry = {{"boxes", region.boxes},
             {"sentences", region.sentences},
             {"abnormal", region.abnormal.ToJson()}};
    if (region.boxes == 0) continue;
    const auto mean = [&](std::size_t i) { return region.sum[i] / double(region.boxes); };
    entry["mean_box"] = {{"cx", mean(0)}, {"cy", mean(1)}, {"w", mean(2)}, {"h", mean(3)}};
  }
  return result;
}

json Statistics::ToJson(const std::vector<std::string>& findings,
                        const std::vector<std::string>& image_labels) const {
  const Repeats::Summary patients = patients_.Summarise(), studies = studies_.Summarise(),
                         reports = reports_.Summarise(), images = images_.Summarise();
  json details = json::object(), counts = json::object();
  for (std::size_t i = 0; i < splits_.size(); ++i) {
    const char* name = SplitName(static_cast<Split>(i));
    counts[name] = splits_[i];
    details[name] = {{"records", splits_[i]},
                     {"patients", patients.in_split[i]},
                     {"studies", studies.in_split[i]},
                     {"reports", reports.in_split[i]},
                     {"images", images.in_split[i]}};
  }
  return {{"records", records_},
          {"splits", std::move(counts)},
          {"split_details", std::move(details)},
          {"leaks",
           {{"patients", LeaksToJson(patients)},
            {"studies", LeaksToJson(studies)},
            {"reports", LeaksToJson(reports)},
            {"images", LeaksToJson(images)}}},
          {"views",
           {{"unknown", views_[0]}, {"ap", views_[1]}, {"pa", views_[2]}, {"lateral", views_[3]}}},
          {"patients", patients.distinct},
          {"patients_in_several_splits", patients.in_several_splits},
          {"studies", studies.distinct},
          {"sizes", SizesToJson()},
          {"images", {{"distinct", images.distinct}, {"duplicates", images.repeats}}},
          {"images_16_bit", deep_},
          {"images_with_boxes", with_boxes_},
          {"boxes_per_image", boxes_.ToJson()},
          {"reports", ReportsToJson(reports)},
          {"region_labels", LabelsToJson(findings_, findings)},
          {"image_labels", LabelsToJson(image_labels_, image_labels)},
          {"regions", RegionsToJson()}};
}

}  // namespace vesalius::data
