// How one bucket of gradients becomes its sum over ranks: all-reduce, or shards (ZeRO-1;
// Rajbhandari et al., 2020), over all ranks or inside a node; in the gradients' own type, or with
// contributions rounded to bfloat16 and added in float32 in rank order. The all-gather of updated
// parameters goes the same ways back.
//
//   mode        float32 or float64              bfloat16 on the wire
//   all_reduce  all-reduce                      all-to-all, sum, all-gather of float32 sums
//   zero1       reduce-scatter                  all-to-all, sum
//   hybrid      reduce-scatter in the node, then all-reduce of the shard between nodes
//                                               the same, with all-to-all and sum in the node
//
// A bucket in two steps starts its second when the bucket after next is launched, the same on every
// rank; at most kWindow buckets hold copies.
#pragma once

#include <ATen/core/Tensor.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "dist/bucket_plan.h"
#include "dist/communicator.h"

namespace vesalius::dist {

class BucketExchange {
 public:
  // Collective. kHybrid wants as many ranks on every node: Error(kConfig).
  BucketExchange(Communicator& comm, ExchangeMode mode, bool bfloat16_wire);

  // Into how many equal shards a bucket is cut (1: it is not), and which of them is this rank's.
  int shards() const { return shards_; }
  // Whether a rank ends up with the sum of its shard only.
  bool sharded() const { return mode_ != ExchangeMode::kAllReduce; }
  // Whether this rank stands for its shard where shards are counted once.
  bool first_holder() const;
  // This rank's part of a bucket: all of it where nothing is sharded.
  at::Tensor Mine(const at::Tensor& bucket) const;

  // `bucket`: flat, contiguous, a multiple of shards() long; belongs to the exchange until Finish.
  void Launch(const std::string& name, const at::Tensor& bucket);
  // Waits for all of them. Mine(bucket) holds sums then; the rest is undefined.
  void Finish();

  // Sharded modes: Mine(bucket) of every rank into the whole bucket of all.
  Ticket Gather(const std::string& name, const at::Tensor& bucket);
  // Sharded modes, blocking: the sum over the ranks that hold the shards of one copy.
  void SumOverShards(const std::string& name, const at::Tensor& values);

 private:
  static constexpr std::size_t kWindow = 2;
  struct Flight {
    std::string name;
    at::Tensor bucket;
    at::Tensor sent, received;  // bfloat16, where it travels
    Ticket ticket;
  };
  // The ranks that a bucket is cut between.
  Communicator& inner() const { return node_ ? *node_ : comm_; }
  at::Tensor Shard(const at::Tensor& bucket) const;
  std::vector<std::int64_t> Counts(const at::Tensor& bucket) const;
  void Advance();

  Communicator& comm_;
  const ExchangeMode mode_;
  const bool narrow_;
  std::unique_ptr<Communicator> node_, across_;  // kHybrid
  int shards_ = 1;
  std::deque<Flight> flights_;  // in their first step
  std::vector<Ticket> second_;
};

}  // namespace vesalius::dist
