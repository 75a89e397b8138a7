// Gradient exchange: parameter gradients are views into an arena that the communicator allocated;
// post-accumulate hooks count a bucket full and launch its exchange in fixed bucket order while
// backward goes on. Gradients are SUMMED, never averaged: every loss divides by its global count.
//
// A step: Rebuild, Begin, backward, Finalize, update of pieces(), PublishParameters; then
// WaitParameters before anything reads the parameters. In mode all_reduce a rank updates
// everything and the last two do nothing; in the sharded modes it updates its shards
// (bucket_exchange.h).
//
// Which parameters took part, and the caller's flags, ride at the end of the last bucket, which is
// therefore launched by Finalize; where buckets are sharded or travel as bfloat16 they ride in one
// small all-reduce instead. Backward's gradients are taken into the arena as they arrive (the first
// since Begin is copied, later ones are added there); from then on they must stay views of it:
// never call zero_grad() or set one to undefined. One backward after Begin(true) may reach a
// parameter once. A bucket whose parameters are all frozen (requires_grad false, the same on every
// rank) is not exchanged.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "dist/bucket_exchange.h"
#include "dist/communicator.h"

namespace vesalius::dist {

struct GradExchangeOptions {
  std::size_t bucket_bytes = 4 << 20;  // a bucket is closed once it holds as much
  int max_flags = 64;                  // room kept for Finalize
  ExchangeMode mode = ExchangeMode::kAllReduce;
  bool bfloat16_wire = false;  // float32 only
};

// Elements [begin, begin + value.numel()) of a parameter, which this rank updates.
struct ParameterPiece {
  int parameter = 0;  // index of the constructor's list
  std::int64_t begin = 0;
  at::Tensor value;     // flat view of the parameter
  at::Tensor gradient;  // flat view of the arena; after Finalize the sum over ranks
};

class GradExchange {
 public:
  // `parameters`: names and leaf tensors (float32 or float64, one device), the same list in the
  // same order on every rank; verified by one exchange (a rank that differs is named:
  // Error(kConfig)).
  GradExchange(Communicator& comm, std::vector<std::pair<std::string, at::Tensor>> parameters,
               const GradExchangeOptions& options);
  ~GradExchange();

  // Collective, between steps. Lays the arena out in the order in which rank 0's gradients arrived,
  // after the first step and after the first step of every other choice of frozen parameters; true
  // when it did: pieces() are others then. No result depends on it.
  bool Rebuild();

  // Forgets the last gradients and arms the hooks: the next backward's gradients are exchanged as
  // buckets fill. With accumulation, call Begin(last = false) before all but the last backward:
  // those only accumulate; gradients are forgotten by the first Begin after Finalize.
  void Begin(bool last = true);

  // Launches what backward did not fill (parameters that took no part count as zero, the same on
  // every rank), waits for all buckets, and returns the sum over ranks of `flags`, which rode in
  // the exchange (agreed stops, unreadable records, metrics). After it the gradients of pieces()
  // are global sums. Flags are summed in float64 in rank order, whatever the parameters' type;
  // magnitudes up to 3e38.
  std::vector<double> Finalize(std::span<const double> flags);

  // In place of Begin, backward and Finalize, where gradients are summed already (slice_sum.h):
  // sums[i] has as many elements as parameter i, the same bits on every rank; undefined: took no
  // part. Only the flags are exchanged, and returned as by Finalize.
  std::vector<double> Take(const std::vector<at::Tensor>& sums, std::span<const double> flags);

  // Parameters that took part on at least one rank in the last step: by index of the constructor's
  // list. (Untouched ones are skipped by the optimiser: no weight decay while frozen.)
  const std::vector<bool>& touched() const;

  bool sharded() const;

  // What this rank updates: every parameter in mode all_reduce; else its shards, which together
  // cover every parameter once (hybrid: once a node). Valid until Rebuild returns true.
  const std::vector<ParameterPiece>& pieces() const;

  // Sharded modes: starts sending the updated pieces to the other ranks (gradients are lost), and
  // waits until every parameter is whole. WaitParameters returns at once when nothing is under way.
  void PublishParameters();
  void WaitParameters();

  // Collective and blocking in the sharded modes: the flat tensor of all ranks' pieces of a
  // parameter from `mine`, this rank's (undefined where it has none), given where that piece
  // begins. For what the optimiser keeps by piece, when pieces() change.
  at::Tensor Assemble(int parameter, std::int64_t begin, const at::Tensor& mine);

  // sqrt(sum of squares) over all gradients: 0-dim float64 on the gradients' device, the same bits
  // on every rank, in every mode (float32 on the wire), for every bucket size and layout. After
  // Finalize, before PublishParameters.
  at::Tensor GradNorm() const;

  // Of the arena, which is all that the exchange keeps.
  std::size_t arena_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vesalius::dist
