// What `vesalius inspect` counts over records: patients, views, boxes, sentences, labels, reports.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <vector>

#include "data/record.h"

namespace vesalius::data {

class Statistics {
 public:
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
    Labels abnormal;
  };
  static nlohmann::json LabelsToJson(const std::vector<Labels>& labels,
                                     const std::vector<std::string>& names);

  std::int64_t records_ = 0, deep_ = 0, with_boxes_ = 0, characters_ = 0;
  std::int64_t shortest_ = 0, longest_ = 0;
  std::array<std::int64_t, 3> splits_{};
  std::array<std::int64_t, 4> views_{};
  std::map<std::string, std::set<Split>> patients_;
  std::map<std::uint64_t, std::int64_t> reports_;
  std::array<Region, kRegions> regions_;
  std::vector<Labels> findings_, image_labels_;
};

}  // namespace vesalius::data
