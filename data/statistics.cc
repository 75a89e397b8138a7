#include "data/statistics.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace vesalius::data {

using nlohmann::json;

void Statistics::Add(const Record& record) {
  const auto length = static_cast<std::int64_t>(record.report.size());
  shortest_ = records_ == 0 ? length : std::min(shortest_, length);
  longest_ = std::max(longest_, length);
  characters_ += length;
  ++records_;
  deep_ += record.image.deep();
  ++splits_.at(static_cast<std::size_t>(record.split));
  ++views_.at(static_cast<std::size_t>(record.view));
  patients_[record.patient_id].insert(record.split);
  ++reports_[record.report_hash];
  bool any_box = false;
  for (int r = 0; r < kRegions; ++r) {
    Region& region = regions_[r];
    region.boxes += record.box_valid[r] != 0;
    any_box = any_box || record.box_valid[r] != 0;
    region.sentences += static_cast<std::int64_t>(record.sentences[r].size());
    region.abnormal.Add(record.region_abnormal[r]);
  }
  with_boxes_ += any_box;
  findings_.resize(record.region_labels.size() / kRegions);
  for (std::size_t i = 0; i < record.region_labels.size(); ++i)
    findings_[i % findings_.size()].Add(record.region_labels[i]);
  image_labels_.resize(record.image_labels.size());
  for (std::size_t i = 0; i < record.image_labels.size(); ++i)
    image_labels_[i].Add(record.image_labels[i]);
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

json Statistics::ToJson(const std::vector<std::string>& findings,
                        const std::vector<std::string>& image_labels) const {
  const auto straddling = std::count_if(patients_.begin(), patients_.end(),
                                        [](const auto& p) { return p.second.size() > 1; });
  const auto distinct = static_cast<std::int64_t>(reports_.size());
  json result = {
      {"records", records_},
      {"splits", {{"train", splits_[0]}, {"valid", splits_[1]}, {"test", splits_[2]}}},
      {"views",
       {{"unknown", views_[0]}, {"ap", views_[1]}, {"pa", views_[2]}, {"lateral", views_[3]}}},
      {"patients", patients_.size()},
      {"patients_in_several_splits", straddling},
      {"images_16_bit", deep_},
      {"images_with_boxes", with_boxes_},
      {"reports",
       {{"distinct", distinct},
        {"duplicates", records_ - distinct},
        {"shortest_bytes", shortest_},
        {"longest_bytes", longest_},
        {"mean_bytes",
         records_ > 0 ? static_cast<double>(characters_) / static_cast<double>(records_) : 0}}},
      {"region_labels", LabelsToJson(findings_, findings)},
      {"image_labels", LabelsToJson(image_labels_, image_labels)}};
  for (int r = 0; r < kRegions; ++r) {
    const Region& region = regions_[r];
    result["regions"][kRegionNames[r]] = {{"boxes", region.boxes},
                                          {"sentences", region.sentences},
                                          {"abnormal", region.abnormal.ToJson()}};
  }
  return result;
}

}  // namespace vesalius::data
