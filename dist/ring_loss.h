// Contrastive losses over the batch of all ranks in the memory of a tile: one autograd node that
// moves the text features around a ring, takes logits tile by tile, and sends the gradients home
// while the next block computes. Sources: InfoNCE (Oord et al., 2018; Radford et al., 2021), SigLIP
// (Zhai et al., 2023), Inf-CL (Cheng et al., 2024) for tiles and ring, CCE (Wijmans et al., 2024)
// for skipping. Deterministic: everything is added in an order that the world size fixes.
//
// With P_i the positives of a line, r_i and c_j the log-sum-exp of rows and columns over the pairs
// that are not left out, and only lines with a positive counted:
//   InfoNCE  1/2 mean_i (r_i - mean_{P_i} l_ij) + 1/2 mean_j (c_j - mean_{P_j} l_ij)
//   SigLIP   1/B sum_ij log(1 + exp(-z_ij l_ij)), z = 1 for positives, else -1, B columns in all
// where l_ij = scale * x_i . y_j (+ bias). Each rank returns its share; shares and gradients add up
// over the ranks. The gradient of scale and bias is this rank's partial.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "dist/communicator.h"
#include "dist/ring_positives.h"

namespace vesalius::dist {

enum class LossForm { kInfoNce, kSigLip };

// What a rank keeps between forward and backward, of b columns a rank, B in all, d wide:
//   kGather  all texts, B d, and a B d partial of their gradient, reduced at the end
//   kHybrid  all texts; gradients travel block by block behind the tiles, 3 b d
//   kRing    two blocks of texts, which travel again in the backward
// SigLIP needs one lap and streams in every mode.
enum class Contrast { kGather, kHybrid, kRing };

struct RingOptions {
  LossForm form = LossForm::kInfoNce;
  Contrast contrast = Contrast::kHybrid;
  std::int64_t cache_bytes = 0;  // logits kept for the backward, as many tiles as fit
  double skip_epsilon = 0;       // tiles whose probabilities all lie below are skipped in the
                                 // backward; 0 = exact
  std::int64_t audit_rows = 0;   // rows of this rank whose log-sum-exp is taken again in float64
};

struct RingResult {
  at::Tensor loss;         // 0-dim, this rank's share, in x's type
  double audit_error = 0;  // largest difference of the audited rows, over all ranks
};

// Collective; on every rank the backward runs where the forward did. x [n, d] this rank's rows and
// y [columns[rank], d] its columns, float32 or float64 (others are
// taken to float32); scale and (SigLIP only) bias 0-dim. Ranks
// may hold any number of rows and columns, zero included. `positives` is kept until the backward.
RingResult RingLoss(Communicator& comm, const std::string& name, const at::Tensor& x,
                    const at::Tensor& y, const at::Tensor& scale, const at::Tensor& bias,
                    const std::vector<std::int64_t>& columns,
                    std::shared_ptr<const Positives> positives, const RingOptions& options);

}  // namespace vesalius::dist
