// A data set with another BERT vocabulary than its own (data.vocab).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace vesalius::trainer {

std::shared_ptr<const data::Dataset> WithWordpieces(std::shared_ptr<const data::Dataset> dataset,
                                                    std::vector<std::string> wordpieces);

}  // namespace vesalius::trainer
