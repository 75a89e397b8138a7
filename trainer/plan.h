// `vesalius plan`: what a run will need before it is launched. One step of rank 0 is rehearsed for
// real, model, losses, exchange and optimiser, on a group whose other ranks are taken to do as it
// does; memory is what LibTorch's allocator handed out, bytes are what the communicator counted.
// Bytes of gradients, images and reports are those of real ranks with equal shares. Region phrases
// are not: copies of one batch have the same texts, which are exchanged once, so that their figures
// are lower bounds.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "dist/link_model.h"

namespace vesalius::trainer {

struct PlanOptions {
  std::string preset, config_file;  // exactly one
  std::vector<std::string> set;
  std::string data;  // a data set whose first batch is rehearsed; "": a phantom set is drawn
  int nodes = 1, ranks_per_node = 1;
  dist::Links links;
  double tflops = 0;  // that a rank sustains; 0: this machine's own time is taken
};

// {"ranks", "parameters", "images_per_rank", "rehearsed_images",
//  "memory": {"parameters", "gradients", "optimiser", "step", "total"} in bytes of a rank,
//  "collectives": [{"name", "kind", "ranks", "calls", "bytes_sent", "seconds"}], "bytes_sent",
//  "seconds": {"compute", "communication", "exposed", "step"}, "samples_per_s",
//  "left_out": what the configuration has and the rehearsal has not (tables)}.
// A local batch too large to be rehearsed in a short time is extrapolated from two smaller ones.
// Errors: those of LoadConfig; kConfig where ranks or batch do not fit.
nlohmann::ordered_json MakePlan(const PlanOptions& options);

}  // namespace vesalius::trainer
