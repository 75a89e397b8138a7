// The data sets of a run, with the word pieces that the configuration gives them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace vesalius::trainer {

// The training split of `folder`; its word pieces are those of `vocab` (a vocab.txt) unless that is
// "". Error(kConfig) where neither gives any.
std::shared_ptr<const data::Dataset> OpenTraining(const std::string& folder,
                                                  const std::string& vocab);

std::shared_ptr<const data::Dataset> WithWordpieces(std::shared_ptr<const data::Dataset> dataset,
                                                    std::vector<std::string> wordpieces);

}  // namespace vesalius::trainer
