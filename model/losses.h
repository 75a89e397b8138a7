// The losses of Anatomy-VLM. Each returns this rank's share of a global loss: local terms over a
// global denominator. Softmax and box geometry run in the features' own type (float32 under
// autocast).
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <vector>

#include "dist/communicator.h"
#include "dist/ring_loss.h"

namespace vesalius::model {

// What the ranks hold together; one small all-gather a step.
struct GlobalCounts {
  std::vector<std::int64_t> images;  // per rank
  std::vector<std::int64_t> rows;    // region rows with a text, per rank
  std::vector<std::int64_t> texts;   // distinct texts, per rank
  std::int64_t boxes = 0;            // valid boxes
  std::int64_t labels = 0;           // image labels that are mentioned
  std::int64_t all_images() const;
};
// `mine`: this rank's images, rows, texts, boxes and labels.
GlobalCounts CountGlobally(dist::Communicator& comm, at::Device device,
                           const std::array<std::int64_t, 5>& mine);

// Anatomy loss (DETR's box terms with the fixed query-region assignment; model.md 3.4):
//   1/n_box sum_valid (l1 * |p - y|_1 + giou * (1 - GIoU)),
// and the mean IoU as a figure. predicted, target [n, 29, 4] cx cy w h; valid [n, 29] uint8.
struct BoxLoss {
  at::Tensor loss, iou;
};
BoxLoss AnatomyLoss(const at::Tensor& predicted, const at::Tensor& target, const at::Tensor& valid,
                    double l1, double giou, std::int64_t boxes);

// Binary cross-entropy of presence logits [n, 29] against valid, over all images * 29.
at::Tensor PresenceLoss(const at::Tensor& logits, const at::Tensor& valid, std::int64_t images);

// Image-label loss (model.md 3.6): logits [n, K] against labels in {1, 0, -1 = left out}.
at::Tensor ImageLabelLoss(const at::Tensor& logits, const at::Tensor& labels, std::int64_t count);

// Image-report loss (dist/ring_loss.h): image, report [n, d] unit vectors; hash [n] int64 keys of
// equal reports, which are positives too or left out; scale and, for SigLIP, bias 0-dim.
dist::RingResult PairLoss(dist::Communicator& comm, const at::Tensor& image,
                          const at::Tensor& report, const at::Tensor& hash, const at::Tensor& scale,
                          const at::Tensor& bias, const std::vector<std::int64_t>& images,
                          dist::KeyPositives::Extra extra, const dist::RingOptions& options);

// Region-phrase loss, softmax form (model.md 3.5), on the tiles of dist/ring_loss.h: rows of all
// ranks against the distinct texts of all ranks, the truth matrix built tile by tile.
struct FineInputs {
  at::Tensor regions;     // [R, d] unit vectors of the rows that have a text
  at::Tensor texts;       // [u, d] unit vectors of this rank's distinct texts
  at::Tensor scale;       // 0-dim, 1 / temperature
  at::Tensor own_text;    // [R] int64 hash of the row's text
  at::Tensor own_truth;   // [R] int8
  at::Tensor anatomy;     // [R] int8 region id
  at::Tensor abnormal;    // [R] int8
  at::Tensor labels;      // [R, F] int8
  at::Tensor signatures;  // [u, 4] int64: hash, region, finding, polarity
  at::Tensor family;      // [29, 29] bool: parent/child pairs
};
at::Tensor FineLoss(dist::Communicator& comm, const FineInputs& in, const GlobalCounts& counts,
                    dist::Contrast contrast);

// T [R, U] int8 of rows against texts: 1 if the text is the row's own and true, or is entailed by
// the row's explicit labels for the same region; 0 if contradicted or about another region; -1
// (ignored) if the row's labels do not decide it, or a parent or child region might share it.
at::Tensor TruthMatrix(const FineInputs& rows, const at::Tensor& signatures);

}  // namespace vesalius::model
