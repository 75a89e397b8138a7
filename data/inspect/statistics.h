// What `vesalius inspect` counts over records: sizes, patients, views, boxes, sentences, labels,
// reports, and what comes twice. Memory: 32 bytes a record, whatever the records hold.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/inspect/lengths.h"
#include "data/inspect/repeats.h"
#include "data/record.h"
#include "data/text/tokenizer.h"

namespace vesalius::data {

class Statistics {
 public:
  // Reports are counted in tokens ([CLS] and [SEP] among them) where there are wordpieces.
  explicit Statistics(const std::vector<std::string>& wordpieces);

  void Add(const Record& record);

  // `findings` and `image_labels` name the labels; where a name is missing its index stands for it.
  nlohmann::json ToJson(const std::vector<std::string>& findings,
                        const std::vector<std::string>& image_labels) const;

 private:
  struct Labels {
    std::int64_t yes = 0, no = 0, not_mentioned = 0;
    void Add(std::int8_t label) { ++(label > 0 ? yes : label == 0 ? no : not_mentioned); }
    nlohmann::json ToJson() const;
  };
  struct Region {
    std::int64_t boxes = 0, sentences = 0;
    std::array<double, 4> sum{};  // of cx, cy, w, h
    Labels abnormal;
  };
  static nlohmann::json LabelsToJson(const std::vector<Labels>& labels,
                                     const std::vector<std::string>& names);
  void AddReport(const Record& record);
  void AddRegions(const Record& record);
  nlohmann::json SizesToJson() const;
  nlohmann::json ReportsToJson(const Repeats::Summary& texts) const;
  nlohmann::json RegionsToJson() const;

  std::optional<Tokenizer> tokenizer_;
  std::int64_t records_ = 0, deep_ = 0, with_boxes_ = 0, bytes_ = 0, empty_ = 0;
  std::int64_t shortest_ = 0, longest_ = 0;
  std::array<std::int64_t, 3> splits_{};
  std::array<std::int64_t, 4> views_{};
  std::map<std::pair<int, int>, std::int64_t> sizes_;
  Lengths widths_, heights_, characters_, tokens_, sentences_, boxes_;
  Repeats patients_, studies_, reports_, images_;
  std::array<Region, kRegions> regions_;
  std::vector<Labels> findings_, image_labels_;
};

}  // namespace vesalius::data
