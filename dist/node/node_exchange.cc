#include "dist/node/node_exchange.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "dist/sum.h"

namespace vesalius::dist {
namespace {

class Exchange {
 public:
  Exchange(NodeGroup& group, Segments& segments, const Request& request, Clock::time_point begin,
           std::chrono::milliseconds deadline)
      : group_(group),
        segments_(segments),
        request_(request),
        limit_{begin + deadline, deadline},
        header_(request.header),
        element_(SizeOf(request.type)),
        piece_(static_cast<std::int64_t>(NodeGroup::kStage / element_)) {}

  void Run() {
    switch (request_.kind) {
      case Kind::kAllReduce:
        return request_.bytes() >= kShareFrom ? LargeAllReduce() : Staged(request_.count);
      case Kind::kAllGather:
        return Staged(*std::ranges::max_element(request_.counts));
      case Kind::kReduceScatter:
      case Kind::kBroadcast:
        return Staged(request_.count);
      case Kind::kAllToAll:
      case Kind::kSendReceive:
        AgreeOnPairs();
        return Staged(*std::ranges::max_element(totals_));
      case Kind::kBarrier:
        return Step({});
    }
  }

  // When the last rank had arrived.
  Clock::time_point met() const { return met_; }

 private:
  // Later steps of one collective announce later numbers.
  void Step(const NodeGroup::Location& where) {
    group_.Step(request_, header_, where, limit_);
    if (header_.hash == request_.header.hash) met_ = Clock::now();
    ++header_.hash;
  }

  // Every rank tells what it sends to whom.
  void AgreeOnPairs() {
    const int size = group_.size();
    const std::size_t bytes = size * sizeof(std::int64_t);
    Invariant(bytes <= NodeGroup::kStage, "too many ranks on one node: ", size);
    std::memcpy(group_.NextStage(), request_.counts.data(), bytes);
    Step({});
    for (int r = 0; r < size; ++r) {
      std::vector<std::int64_t> sent(size);
      std::memcpy(sent.data(), group_.StageOf(r), bytes);
      RequireSamePair(group_.HeaderOf(r), group_.name(r), sent[group_.rank()], request_.header,
                      group_.name(group_.rank()), request_.receive_counts[r]);
      const auto mine = sent.begin() + group_.rank();
      starts_.push_back(std::accumulate(sent.begin(), mine, std::int64_t{0}));
      totals_.push_back(std::accumulate(mine, sent.end(), starts_.back()));
    }
  }

  void LargeAllReduce() {
    Step(segments_.Find(request_.out, request_.bytes()));
    bool shared = true;
    for (int r = 0; r < group_.size(); ++r) shared = shared && group_.LocationOf(r).serial != 0;
    if (!shared) return Staged(request_.count);
    const auto counts = EvenCounts(request_.count, group_.size());
    std::int64_t start = 0;
    for (int r = 0; r < group_.rank(); ++r) start += counts[r];
    std::vector<const void*> sources;
    std::vector<void*> destinations;
    for (int r = 0; r < group_.size(); ++r) {
      char* base = r == group_.rank() ? static_cast<char*>(request_.out)
                                      : segments_.Open(group_.name(r), group_.LocationOf(r));
      destinations.push_back(base + start * element_);
      sources.push_back(destinations.back());
    }
    SumInRankOrder(request_.type, sources, destinations, counts[group_.rank()]);
    Step({});
  }

  // In pieces of the stage: everyone copies in, meets, and takes what it needs. An empty collective
  // still meets once.
  void Staged(std::int64_t count) {
    std::int64_t start = 0;
    do {
      const std::int64_t n = std::min(piece_, count - start);
      CopyIn(start, n);
      Step({});
      TakeOut(start, n);
      start += n;
    } while (start < count);
  }

  void CopyIn(std::int64_t start, std::int64_t n) {
    if (request_.kind == Kind::kBroadcast && request_.root != group_.rank()) return;
    if (request_.kind == Kind::kAllGather) n = Part(group_.rank(), start, n);
    if (!totals_.empty()) n = std::clamp<std::int64_t>(totals_[group_.rank()] - start, 0, n);
    if (n > 0) std::memcpy(group_.NextStage(), At(request_.in, start), n * element_);
  }

  void TakeOut(std::int64_t start, std::int64_t n) {
    switch (request_.kind) {
      case Kind::kAllReduce:
        return Sum(0, n, At(request_.out, start));
      case Kind::kReduceScatter: {
        const std::int64_t mine = request_.offset(group_.rank());
        const std::int64_t begin = std::max(start, mine);
        const std::int64_t end = std::min(start + n, mine + request_.counts[group_.rank()]);
        if (begin < end) Sum(begin - start, end - begin, At(request_.out, begin - mine));
        return;
      }
      case Kind::kAllGather:
        for (int r = 0; r < group_.size(); ++r) {
          const std::int64_t part = Part(r, start, n);
          if (part > 0) {
            std::memcpy(At(request_.out, request_.offset(r) + start), group_.StageOf(r),
                        part * element_);
          }
        }
        return;
      case Kind::kBroadcast:
        if (request_.root != group_.rank() && n > 0) {
          std::memcpy(At(request_.out, start), group_.StageOf(request_.root), n * element_);
        }
        return;
      case Kind::kAllToAll:
      case Kind::kSendReceive:
        for (int r = 0; r < group_.size(); ++r) {
          const std::int64_t begin = std::max(start, starts_[r]);
          const std::int64_t end = std::min(start + n, starts_[r] + request_.receive_counts[r]);
          if (begin < end) {
            std::memcpy(At(request_.out, request_.receive_offset(r) + begin - starts_[r]),
                        group_.StageOf(r) + (begin - start) * element_, (end - begin) * element_);
          }
        }
        return;
      case Kind::kBarrier:
        return;
    }
  }

  // How much of rank r's rows falls into [start, start + n).
  std::int64_t Part(int r, std::int64_t start, std::int64_t n) const {
    return std::clamp<std::int64_t>(request_.counts[r] - start, 0, n);
  }

  void Sum(std::int64_t stage_start, std::int64_t n, void* out) {
    std::vector<const void*> sources;
    for (int r = 0; r < group_.size(); ++r) {
      sources.push_back(group_.StageOf(r) + stage_start * element_);
    }
    SumInRankOrder(request_.type, sources, std::span(&out, 1), n);
  }

  char* At(void* base, std::int64_t element) const {
    return static_cast<char*>(base) + element * element_;
  }
  const char* At(const void* base, std::int64_t element) const {
    return static_cast<const char*>(base) + element * element_;
  }

  NodeGroup& group_;
  Segments& segments_;
  const Request& request_;
  const NodeGroup::Limit limit_;
  Header header_;
  const std::int64_t element_;
  const std::int64_t piece_;  // elements of one step
  Clock::time_point met_;
  // All-to-all and send/receive, by rank: how much it sends in all, and where this rank's part of
  // that begins.
  std::vector<std::int64_t> totals_;
  std::vector<std::int64_t> starts_;
};

}  // namespace

Clock::time_point RunOnNode(NodeGroup& group, Segments& segments, const Request& request,
                            Clock::time_point begin, std::chrono::milliseconds deadline) {
  Exchange exchange(group, segments, request, begin, deadline);
  exchange.Run();
  return exchange.met();
}

}  // namespace vesalius::dist
