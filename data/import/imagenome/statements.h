// From the attributes of phrases to labels and sentences. The findings are those that the data
// name: every category|finding, but for the category nlp (normal, abnormal) and for the categories
// that only qualify others (texture, severity, temporal, laterality, comparison).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "data/import/imagenome/scene_graph.h"
#include "data/record.h"
#include "data/text/vocabulary.h"

namespace vesalius::data {

using FindingKey = std::pair<std::string, std::string>;  // category, finding

// Whether an attribute of this category names a finding.
bool NamesFinding(const std::string& category);

class FindingIndex {
 public:
  FindingIndex() = default;
  // In ascending order.
  explicit FindingIndex(std::vector<FindingKey> keys);

  int size() const { return static_cast<int>(keys_.size()); }
  int Find(const Attribute& attribute) const;  // -1 when it is none
  const std::string& text(int finding) const { return keys_[finding].second; }
  // Named by the finding's text; where several categories share one, with the category in brackets.
  std::vector<Finding> Findings() const;

 private:
  std::vector<FindingKey> keys_;
};

// Fills labels, abnormality and sentences of the record's regions. What is not said stays -1. When
// phrases contradict each other, yes wins over no and abnormal over normal.
//
// A sentence says the one finding whose name stands in its text; else the only one that it has;
// else, without any, that the region is normal or abnormal. Otherwise it is free text.
void SetStatements(const SceneGraph& graph, const FindingIndex& findings, Record* record);

}  // namespace vesalius::data
