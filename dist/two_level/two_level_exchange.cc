#include "dist/two_level/two_level_exchange.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "dist/memory.h"
#include "dist/node/node_exchange.h"

namespace vesalius::dist {
namespace {

using Counts = std::vector<std::int64_t>;

// What ranks of another node wait beyond the deadline: the node of a missing rank knows first
// which.
constexpr auto kGrace = std::chrono::milliseconds(500);

std::int64_t Sum(const Counts& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}
std::int64_t Before(const Counts& counts, std::size_t i) {
  return std::accumulate(counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(i),
                         std::int64_t{0});
}

class Exchange {
 public:
  Exchange(MpiEngine& engine, TwoLevelGroup& group, Segments& segments, const Request& request,
           std::chrono::milliseconds deadline)
      : engine_(engine),
        group_(group),
        segments_(segments),
        request_(request),
        deadline_(deadline),
        node_deadline_(deadline),
        element_(static_cast<std::int64_t>(SizeOf(request.type))),
        node_(group.topology.node),
        lane_(group.topology.node_rank),
        nodes_(group.topology.node_count) {}

  // The first meeting is the same for all kinds, so that ranks that disagree find each other.
  Clock::time_point Run() {
    OnNode(Kind::kBarrier, nullptr, nullptr, {});
    InLane(Kind::kBarrier, nullptr, nullptr, {});
    node_deadline_ += 2 * kGrace;
    const Clock::time_point met = Clock::now();
    Move();
    return met;
  }

 private:
  void Move() {
    switch (request_.kind) {
      case Kind::kAllReduce:
        return AllReduce();
      case Kind::kAllGather:
        return AllGather();
      case Kind::kReduceScatter:
        return ReduceScatter();
      case Kind::kBroadcast:
        return Broadcast();
      case Kind::kAllToAll:
      case Kind::kSendReceive:
        return Swap();
      case Kind::kBarrier:
        return OnNode(Kind::kBarrier, nullptr, nullptr, {});
    }
  }

  void AllReduce() {
    const Counts parts = OverLanes(request_.count);
    char* mine = At(request_.out, Before(parts, lane_));
    OnNode(Kind::kReduceScatter, request_.in, mine, parts);
    InLane(Kind::kAllReduce, mine, mine, {parts[lane_]});
    OnNode(Kind::kAllGather, mine, request_.out, parts);
  }

  // Every node's rows, a part a lane, to all nodes; T holds them by node.
  void AllGather() {
    const Counts blocks = Blocks();
    const auto by_node = Scratch(Sum(blocks));
    Counts rows;
    for (int r : group_.ranks_of[node_]) rows.push_back(request_.counts[r]);
    char* block = At(by_node.get(), Before(blocks, node_));
    OnNode(Kind::kAllGather, request_.in, block, rows);

    Counts in_lane;  // of the whole, by lane
    for (int lane = 0; lane < group_.topology.node_size; ++lane) {
      in_lane.push_back(Sum(LaneParts(blocks, lane)));
    }
    const Counts parts = LaneParts(blocks, lane_);
    const auto crossed = Scratch(Sum(parts));
    const auto by_lane = Scratch(Sum(in_lane));
    InLane(Kind::kAllGather, At(block, Before(OverLanes(blocks[node_]), lane_)), crossed.get(),
           parts);
    OnNode(Kind::kAllGather, crossed.get(), by_lane.get(), in_lane);
    ForEachPart(blocks, [&](std::int64_t in_nodes, std::int64_t in_lanes, std::int64_t n) {
      Copy(At(by_node.get(), in_nodes), At(by_lane.get(), in_lanes), n);
    });
    ForEachRank([&](int r, std::int64_t in_nodes) {
      Copy(At(request_.out, request_.offset(r)), At(by_node.get(), in_nodes), request_.counts[r]);
    });
  }

  void ReduceScatter() {
    const Counts blocks = Blocks();
    const auto by_node = Scratch(Sum(blocks));
    const auto by_lane = Scratch(Sum(blocks));
    ForEachRank([&](int r, std::int64_t in_nodes) {
      Copy(At(by_node.get(), in_nodes), At(request_.in, request_.offset(r)), request_.counts[r]);
    });
    ForEachPart(blocks, [&](std::int64_t in_nodes, std::int64_t in_lanes, std::int64_t n) {
      Copy(At(by_lane.get(), in_lanes), At(by_node.get(), in_nodes), n);
    });
    Counts in_lane;
    for (int lane = 0; lane < group_.topology.node_size; ++lane) {
      in_lane.push_back(Sum(LaneParts(blocks, lane)));
    }
    const Counts parts = LaneParts(blocks, lane_);
    const Counts of_block = OverLanes(blocks[node_]);
    const auto crossing = Scratch(Sum(parts));
    const auto summed = Scratch(of_block[lane_]);
    const auto block = Scratch(blocks[node_]);
    OnNode(Kind::kReduceScatter, by_lane.get(), crossing.get(), in_lane);
    InLane(Kind::kReduceScatter, crossing.get(), summed.get(), parts);
    OnNode(Kind::kAllGather, summed.get(), block.get(), of_block);
    std::int64_t start = 0;
    for (int r : group_.ranks_of[node_]) {
      if (r == group_.members.rank) break;
      start += request_.counts[r];
    }
    Copy(static_cast<char*>(request_.out), At(block.get(), start),
         request_.counts[group_.members.rank]);
  }

  void Broadcast() {
    const int from = group_.topology.node_of[request_.root];
    const Counts parts = OverLanes(request_.count);
    char* mine = At(request_.out, Before(parts, lane_));
    if (node_ == from) {
      const auto& ranks = group_.ranks_of[node_];
      const auto root = std::ranges::find(ranks, request_.root) - ranks.begin();
      OnNode(Kind::kBroadcast, request_.in, request_.out, {request_.count}, static_cast<int>(root));
    }
    InLane(Kind::kBroadcast, mine, mine, {parts[lane_]}, from);
    if (node_ != from) OnNode(Kind::kAllGather, mine, request_.out, parts);
  }

  // Every pair for itself: over MPI to other nodes, then inside the node.
  void Swap() {
    RunOverMpi(engine_, group_.all, request_, deadline_ + kGrace);
    if (group_.topology.node_size == 1) return;
    Request inside = Part(Kind::kAllToAll, nullptr, nullptr, {});
    for (int r : group_.ranks_of[node_]) {
      inside.counts.push_back(request_.counts[r]);
      inside.receive_counts.push_back(request_.receive_counts[r]);
    }
    inside.count = Sum(inside.counts);
    const auto in = Scratch(inside.count);
    const auto out = Scratch(Sum(inside.receive_counts));
    inside.in = in.get();
    inside.out = out.get();
    int i = 0;
    for (int r : group_.ranks_of[node_]) {
      Copy(At(in.get(), inside.offset(i)), At(request_.in, request_.offset(r)), inside.counts[i]);
      ++i;
    }
    RunOnNode(*group_.node, segments_, inside, Clock::now(), node_deadline_);
    i = 0;
    for (int r : group_.ranks_of[node_]) {
      Copy(At(request_.out, request_.receive_offset(r)), At(out.get(), inside.receive_offset(i)),
           inside.receive_counts[i]);
      ++i;
    }
  }

  // A collective of some of the ranks on the way; it goes by the name of the whole.
  Request Part(Kind kind, const void* in, void* out, Counts counts) const {
    Request part = request_;
    part.kind = kind;
    part.in = in;
    part.out = out;
    part.count = Sum(counts);
    part.counts = std::move(counts);
    part.receive_counts.clear();
    return part;
  }

  void OnNode(Kind kind, const void* in, void* out, Counts counts, int root = 0) {
    Request part = Part(kind, in, out, std::move(counts));
    part.root = root;
    RunOnNode(*group_.node, segments_, part, Clock::now(), node_deadline_);
  }

  void InLane(Kind kind, const void* in, void* out, Counts counts, int root = 0) {
    if (group_.lane.members.size() == 0) return;
    Request part = Part(kind, in, out, std::move(counts));
    part.root = root;
    RunOverMpi(engine_, group_.lane, part, deadline_ + kGrace);
  }

  // By rank of the node: equal parts for the lanes, nothing for ranks that are in none.
  Counts OverLanes(std::int64_t count) const {
    Counts parts = EvenCounts(count, group_.lanes);
    parts.resize(group_.topology.node_size, 0);
    return parts;
  }

  // What the ranks of each node give or take together, in elements.
  Counts Blocks() const {
    Counts blocks(nodes_, 0);
    for (int r = 0; r < group_.members.size(); ++r) {
      blocks[group_.topology.node_of[r]] += request_.counts[r];
    }
    return blocks;
  }

  // By node: what a lane carries of each node's block.
  Counts LaneParts(const Counts& blocks, int lane) const {
    Counts parts;
    for (std::int64_t block : blocks) {
      parts.push_back(lane < group_.lanes ? EvenCounts(block, group_.lanes)[lane] : 0);
    }
    return parts;
  }

  // `use(start where blocks follow each other, start where lanes do, elements)`.
  template <typename Use>
  void ForEachPart(const Counts& blocks, const Use& use) const {
    std::int64_t in_lanes = 0;
    for (int lane = 0; lane < group_.lanes; ++lane) {
      for (int node = 0; node < nodes_; ++node) {
        const Counts parts = EvenCounts(blocks[node], group_.lanes);
        use(Before(blocks, node) + Before(parts, lane), in_lanes, parts[lane]);
        in_lanes += parts[lane];
      }
    }
  }

  // `use(rank, start of its elements where blocks follow each other)`.
  template <typename Use>
  void ForEachRank(const Use& use) const {
    std::int64_t start = 0;
    for (const auto& ranks : group_.ranks_of) {
      for (int r : ranks) {
        use(r, start);
        start += request_.counts[r];
      }
    }
  }

  std::shared_ptr<void> Scratch(std::int64_t elements) const {
    return AllocateAligned(static_cast<std::size_t>(elements * element_));
  }
  void Copy(char* to, const char* from, std::int64_t elements) const {
    if (elements > 0) std::memcpy(to, from, static_cast<std::size_t>(elements * element_));
  }
  char* At(void* base, std::int64_t element) const {
    return static_cast<char*>(base) + element * element_;
  }
  const char* At(const void* base, std::int64_t element) const {
    return static_cast<const char*>(base) + element * element_;
  }

  MpiEngine& engine_;
  TwoLevelGroup& group_;
  Segments& segments_;
  const Request& request_;
  const std::chrono::milliseconds deadline_;
  std::chrono::milliseconds node_deadline_;
  const std::int64_t element_;
  const int node_;
  const int lane_;
  const int nodes_;
};

Members PartOf(const Members& members, const std::vector<int>& ranks, int me) {
  Members part;
  for (int r : ranks) {
    if (r == me) part.rank = part.size();
    part.names.push_back(members.names[r]);
    part.nodes.push_back(members.nodes[r]);
  }
  return part;
}

}  // namespace

TwoLevelGroup DescribeTwoLevels(const Members& members) {
  TwoLevelGroup group;
  group.members = members;
  group.topology = TopologyOf(members);
  group.ranks_of.resize(group.topology.node_count);
  for (int r = 0; r < members.size(); ++r) {
    group.ranks_of[group.topology.node_of[r]].push_back(r);
  }
  group.lanes = static_cast<int>(
      std::ranges::min(group.ranks_of, {}, [](const auto& ranks) { return ranks.size(); }).size());
  group.all.members = members;
  group.all.between_nodes_only = group.topology.node_size > 1;
  group.all.last.resize(members.size());
  group.lane.members = LanePart(group);
  group.lane.last.resize(group.lane.members.size());
  return group;
}

Members NodePart(const TwoLevelGroup& group) {
  return PartOf(group.members, group.ranks_of[group.topology.node], group.members.rank);
}

Members LanePart(const TwoLevelGroup& group) {
  const int lane = group.topology.node_rank;
  std::vector<int> ranks;
  for (const auto& on_node : group.ranks_of) {
    if (lane < group.lanes) ranks.push_back(on_node[lane]);
  }
  return PartOf(group.members, ranks, group.members.rank);
}

Clock::time_point RunOnTwoLevels(MpiEngine& engine, TwoLevelGroup& group, Segments& segments,
                                 const Request& request, std::chrono::milliseconds deadline) {
  engine.RequireAlive(request);
  return Exchange(engine, group, segments, request, deadline).Run();
}

}  // namespace vesalius::dist
