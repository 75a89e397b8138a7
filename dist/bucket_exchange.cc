#include "dist/bucket_exchange.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "dist/tensor.h"

namespace vesalius::dist {

BucketExchange::BucketExchange(Communicator& comm, ExchangeMode mode, bool bfloat16_wire)
    : comm_(comm), mode_(mode), narrow_(bfloat16_wire) {
  if (mode == ExchangeMode::kHybrid) {
    const Topology& topology = comm.topology();
    for (int node = 0; node < topology.node_count; ++node) {
      const auto ranks = std::ranges::count(topology.node_of, node);
      Require(ranks * topology.node_count == comm.size(), ExitCode::kConfig,
              "dist.exchange = hybrid wants as many ranks on every node, and node ", node, " has ",
              ranks, " of ", comm.size(), " on ", topology.node_count,
              " nodes; use zero1, or start as many everywhere");
    }
    node_ = comm.Split("ranks of a node", topology.node);
    across_ = comm.Split("holders of a shard", topology.node_rank);
  }
  if (sharded() || narrow_) shards_ = inner().size();
}

bool BucketExchange::first_holder() const {
  return !sharded() || mode_ == ExchangeMode::kZero1 || comm_.topology().node == 0;
}

at::Tensor BucketExchange::Shard(const at::Tensor& bucket) const {
  const std::int64_t length = bucket.numel() / shards_;
  return bucket.narrow(0, inner().rank() * length, length);
}

at::Tensor BucketExchange::Mine(const at::Tensor& bucket) const {
  return sharded() ? Shard(bucket) : bucket;
}

std::vector<std::int64_t> BucketExchange::Counts(const at::Tensor& bucket) const {
  return std::vector<std::int64_t>(shards_, bucket.numel() / shards_);
}

void BucketExchange::Launch(const std::string& name, const at::Tensor& bucket) {
  Flight flight{name, bucket, {}, {}, {}};
  const DType type = DTypeOf(bucket.scalar_type());
  const std::vector<std::int64_t> counts = Counts(bucket);
  if (narrow_) {
    flight.sent = bucket.to(at::kBFloat16);
    flight.received = at::empty_like(flight.sent);
    flight.ticket = inner().AllToAll(name, flight.sent.const_data_ptr(), counts,
                                     flight.received.mutable_data_ptr(), counts, DType::kBFloat16);
  } else if (sharded()) {
    flight.ticket = inner().ReduceScatter(name, bucket.const_data_ptr(),
                                          Shard(bucket).mutable_data_ptr(), counts, type);
  } else {
    flight.ticket = comm_.AllReduce(name, bucket.mutable_data_ptr(), bucket.numel(), type);
  }
  flights_.push_back(std::move(flight));
  const bool two_steps = narrow_ || mode_ == ExchangeMode::kHybrid;
  while (two_steps && flights_.size() > kWindow) Advance();
}

// Ends the first step of the oldest bucket and starts its second, if there is one.
void BucketExchange::Advance() {
  Flight flight = std::move(flights_.front());
  flights_.pop_front();
  flight.ticket.Wait();
  const at::Tensor shard = shards_ > 1 ? Shard(flight.bucket) : flight.bucket;
  if (narrow_) {
    const at::Tensor parts = flight.received.view({shards_, -1});
    shard.copy_(parts[0]);
    for (int r = 1; r < shards_; ++r) shard.add_(parts[r]);
  }
  const DType type = DTypeOf(shard.scalar_type());
  if (across_) {
    second_.push_back(across_->AllReduce(flight.name + ", between nodes", shard.mutable_data_ptr(),
                                         shard.numel(), type));
  } else if (narrow_ && !sharded()) {
    second_.push_back(comm_.AllGather(flight.name + ", sums", shard.const_data_ptr(),
                                      flight.bucket.mutable_data_ptr(), Counts(flight.bucket),
                                      type));
  }
}

void BucketExchange::Finish() {
  while (!flights_.empty()) Advance();
  for (Ticket& ticket : second_) ticket.Wait();
  second_.clear();
}

Ticket BucketExchange::Gather(const std::string& name, const at::Tensor& bucket) {
  return inner().AllGather(name, Shard(bucket).const_data_ptr(), bucket.mutable_data_ptr(),
                           Counts(bucket), DTypeOf(bucket.scalar_type()));
}

void BucketExchange::SumOverShards(const std::string& name, const at::Tensor& values) {
  inner().AllReduceNow(name, values.mutable_data_ptr(), values.numel(),
                       DTypeOf(values.scalar_type()));
}

}  // namespace vesalius::dist
