// Figures of a model on a data set: what `vesalius evaluate` prints and what training reports in
// between. Exact under any number of ranks: each rank encodes a slice, rows are gathered in data
// set order, rank 0 computes. Definitions: docs/evaluation.md.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "data/text/tokenizer.h"
#include "dist/communicator.h"
#include "model/anatomy_vlm.h"
#include "trainer/config.h"

namespace vesalius::trainer {

using Figures = nlohmann::json;

// Everything the figures are computed from; n images in data set order, on CPU.
struct EvaluationRows {
  at::Tensor boxes, presence, regions, global;         // model: [n,29,4], [n,29], [n,29,d], [n,d]
  at::Tensor reports;                                  // [n,d]
  at::Tensor true_boxes, valid;                        // [n,29,4] float, [n,29] uint8
  at::Tensor labels, abnormal, image_labels;           // int8 [n,29,F], [n,29], [n,K]
  at::Tensor report_hash;                              // [n] int64; 0 = no report
  std::vector<std::vector<data::Sentence>> sentences;  // [n*29]
  std::int64_t unreadable = 0;
};

// Collective; every rank receives all rows.
EvaluationRows CollectRows(model::AnatomyVlm& model, const Config& config,
                           const data::Tokenizer& tokenizer, const data::Dataset& dataset,
                           dist::Communicator& comm);

// `task`: all, localisation, retrieval, zeroshot or anatomy. Rank 0 only (other ranks get {}).
Figures EvaluateDataset(model::AnatomyVlm& model, const Config& config,
                        const data::Tokenizer& tokenizer, const data::Dataset& dataset,
                        const std::string& task, dist::Communicator& comm);

// The main figures by dotted name, those that are not null.
std::vector<std::pair<std::string, double>> Headline(const Figures& figures);

// Boxes [m, 4] cx cy w h of the padded square of `side` pixels -> x0 y0 x1 y1 in original pixels,
// clamped to the image.
at::Tensor OriginalPixels(const at::Tensor& boxes, const data::Geometry& geometry, int side);

}  // namespace vesalius::trainer
