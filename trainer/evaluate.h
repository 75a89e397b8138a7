// `vesalius evaluate`: localisation, retrieval, zero-shot and anatomy-wise figures of a checkpoint.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace vesalius::trainer {

struct EvaluateOptions {
  std::string checkpoint;  // run or step folder
  std::vector<std::string> data;
  std::string split = "test";
  std::string task = "all";  // all, localisation, retrieval, zeroshot, anatomy
  std::string json;          // file, or ""
  std::string pictures;      // folder for predicted boxes, or ""
  std::string device = "auto";
  int local_ranks = 0;
};

// Prints a table (rank 0), writes the JSON file, returns the figures.
nlohmann::json Evaluate(const EvaluateOptions& options);

// Some images of split test of `data` with the boxes that a run's newest checkpoint predicts, as
// PNG files in `folder`. On the CPU, without other ranks.
void DrawPictures(const std::string& checkpoint, const std::string& data,
                  const std::string& folder);

}  // namespace vesalius::trainer
