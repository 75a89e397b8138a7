// How fast a data set can be read, decoded and augmented here, and which of them is the limit
// (`vesalius bench-data`).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "data/loader/pipeline.h"

namespace vesalius::data {

// Measures some records of `dataset` in random order, each stage on one thread for about
// `seconds`, then the loader as training runs it with `options` (rank and ranks are ignored; the
// batch is made to fit). Before the disk is measured, the files in the data set's folder are
// dropped from the page cache.
// {"samples", "image_size", "workers", "samples_per_s": {"disk", "cached", "decode", "augment",
//  "loader"}, "disk_mb_per_s", "limit": "disk", "decode" or "augment"}; "limit" is the stage that
// takes longest of a sample's time, decode and augmentation shared by the workers.
nlohmann::ordered_json BenchData(const std::shared_ptr<const Dataset>& dataset,
                                 PipelineOptions options, double seconds);

}  // namespace vesalius::data
