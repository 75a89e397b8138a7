#include "dist/bucket_plan.h"

#include <algorithm>

namespace vesalius::dist {
namespace {

std::int64_t RoundUp(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Cuts `order` into runs; a run is closed once it holds its limit.
std::vector<std::vector<int>> Cut(std::span<const std::int64_t> sizes, std::vector<int> order,
                                  std::int64_t limit) {
  const std::int64_t small = std::max<std::int64_t>(limit / 4, 1);
  std::vector<int> tail;  // the last bucket, backwards
  std::int64_t held = 0;
  while (!order.empty() && held < small) {
    held += sizes[order.back()];
    tail.push_back(order.back());
    order.pop_back();
  }
  std::vector<std::vector<int>> runs;
  held = limit;
  for (const int i : order) {
    if (held >= (runs.size() == 1 ? small : limit)) {
      runs.emplace_back();
      held = 0;
    }
    runs.back().push_back(i);
    held += sizes[i];
  }
  if (!tail.empty()) runs.emplace_back(tail.rbegin(), tail.rend());
  return runs;
}

}  // namespace

BucketPlan PlanBuckets(std::span<const std::int64_t> sizes, std::span<const int> order,
                       const std::vector<bool>& idle, std::int64_t bucket_elements, int shards) {
  BucketPlan plan;
  plan.offsets.resize(sizes.size());
  for (const bool resting : {true, false}) {
    std::vector<int> part;
    std::ranges::copy_if(order, std::back_inserter(part),
                         [&](int i) { return idle[i] == resting; });
    for (std::vector<int>& members : Cut(sizes, std::move(part), bucket_elements)) {
      BucketPlan::Bucket bucket{plan.end, plan.end, std::move(members), resting};
      for (const int i : bucket.members) {
        plan.offsets[i] = bucket.end;
        bucket.end += RoundUp(sizes[i], kShardAlignment);
      }
      bucket.end = bucket.begin + RoundUp(bucket.end - bucket.begin, shards * kShardAlignment);
      plan.end = bucket.end;
      plan.buckets.push_back(std::move(bucket));
    }
  }
  return plan;
}

}  // namespace vesalius::dist
