// Where gradients lie in the arena and which travel together: parameters in the order of their
// arrival in backward, cut into buckets. No tensors; the same answer on every rank for the same
// question.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace vesalius::dist {

// What a rank ends up with: all sums; those of its shard of every bucket, between all ranks; or
// between the ranks of its node (bucket_exchange.h).
enum class ExchangeMode { kAllReduce, kZero1, kHybrid };

// Every parameter starts at a multiple of as many elements, and so does every shard of a bucket:
// whole vector registers and cache lines, and whole blocks of the gradient norm.
inline constexpr std::int64_t kShardAlignment = 64;

struct BucketPlan {
  struct Bucket {
    std::int64_t begin = 0, end = 0;  // elements of the arena
    std::vector<int> members;         // by arrival
    bool idle = false;                // nothing in it trains: it is not exchanged
  };
  std::vector<std::int64_t> offsets;  // by parameter
  std::vector<Bucket> buckets;        // in order of launch, the idle ones first
  std::int64_t end = 0;               // elements
};

// `sizes`: elements by parameter; `order`: every parameter once, by arrival; `idle`: by parameter.
// A bucket is closed once it holds `bucket_elements`; the first to travel and the last hold a
// quarter of that, so that communication starts early and the tail behind backward is short. Every
// bucket is a multiple of `shards` x kShardAlignment elements long.
BucketPlan PlanBuckets(std::span<const std::int64_t> sizes, std::span<const int> order,
                       const std::vector<bool>& idle, std::int64_t bucket_elements, int shards);

}  // namespace vesalius::dist
