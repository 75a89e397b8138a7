// Several data sets as one: the samples of the first, then of the second, and so on. They must
// share vocabulary and stored size, or labels and pixels would mean different things.
#pragma once

#include <memory>
#include <vector>

#include "data/dataset.h"

namespace vesalius::data {

using Datasets = std::vector<std::shared_ptr<const Dataset>>;

// The only one of `parts` itself, or all joined. Error(kConfig) that names two which do not fit
// together, and in what.
std::shared_ptr<const Dataset> JoinDatasets(const Datasets& parts);

}  // namespace vesalius::data
