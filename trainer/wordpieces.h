// The data sets of a run, with the word pieces that the configuration gives them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/joined_dataset.h"

namespace vesalius::trainer {

// The training split of `folder`; its word pieces are those of `vocab` (a vocab.txt) unless that is
// "". Error(kConfig) where neither gives any.
std::shared_ptr<const data::Dataset> OpenTraining(const std::string& folder,
                                                  const std::string& vocab);

// "DIR" or "DIR=WEIGHT"; a folder whose own name ends like that is meant as it stands.
struct SourceText {
  std::string folder;
  double weight = 0;  // 0: none given
};
SourceText ParseSource(const std::string& text);

// What a run trains on, and how much of each.
struct Sources {
  data::Datasets datasets;
  std::vector<double> weights;  // empty: by size
};

// The training splits of several "DIR" or "DIR=WEIGHT" (a weight above 0; all have one or none).
// Error(kUsage) where they cannot be read so.
Sources OpenSources(const std::vector<std::string>& data, const std::string& vocab);

std::shared_ptr<const data::Dataset> WithWordpieces(std::shared_ptr<const data::Dataset> dataset,
                                                    std::vector<std::string> wordpieces);

}  // namespace vesalius::trainer
