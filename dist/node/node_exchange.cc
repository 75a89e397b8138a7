#include "dist/node/node_exchange.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "dist/fault_hook.h"
#include "dist/sum.h"

namespace vesalius::dist {
namespace {

constexpr std::uint64_t kEmpty = ~std::uint64_t{0};  // the serial of an input without elements

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
        return Move(*std::ranges::max_element(request_.counts), request_.counts[group_.rank()]);
      case Kind::kReduceScatter:
        return Move(request_.count, request_.count);
      case Kind::kBroadcast:
        return Move(request_.count, request_.root == group_.rank() ? request_.count : 0);
      case Kind::kAllToAll:
      case Kind::kSendReceive:
        return Swap();
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
    if (request_.dies_inside) Die();
    ++header_.hash;
  }

  // `count`: elements of the longest input, of which this rank's has `mine`.
  void Move(std::int64_t count, std::int64_t mine) {
    if (request_.bytes() < kShareFrom) return Staged(count);
    Step(Place(request_.in, mine));
    InPlaceOrStaged(count);
  }

  void Swap() {
    AgreeOnPairs();
    InPlaceOrStaged(*std::ranges::max_element(totals_));
  }

  // After a step that told where the inputs lie.
  void InPlaceOrStaged(std::int64_t count) {
    if (!OpenInputs()) return Staged(count);
    TakeOut(0, count);
    Step({});  // now the inputs may change
  }

  // Where an input of this rank lies; one without elements is nobody's concern.
  NodeGroup::Location Place(const void* in, std::int64_t elements) const {
    if (elements == 0) return {.serial = kEmpty};
    return segments_.Find(in, elements * element_);
  }

  // True, the same on all ranks, when everybody can read everybody's input where it lies.
  bool OpenInputs() {
    std::vector<char*> inputs;
    for (int r = 0; r < group_.size(); ++r) {
      if (group_.LocationOf(r).serial == 0) return false;
    }
    try {
      for (int r = 0; r < group_.size(); ++r) inputs.push_back(Input(r));
    } catch (const Error& error) {
      group_.FailOnLost(request_, error);
    }
    inputs_ = std::move(inputs);
    return true;
  }

  char* Input(int r) const {
    if (r == group_.rank()) return static_cast<char*>(const_cast<void*>(request_.in));
    const NodeGroup::Location& where = group_.LocationOf(r);
    return where.serial == kEmpty ? nullptr : segments_.Open(group_.name(r), where);
  }

  // Element `at` of rank r's input, in a piece that begins with element `start`.
  const char* From(int r, std::int64_t start, std::int64_t at) const {
    return inputs_.empty() ? group_.StageOf(r) + (at - start) * element_
                           : inputs_[r] + at * element_;
  }

  // Every rank tells what it sends to whom, and where that lies.
  void AgreeOnPairs() {
    const int size = group_.size();
    const std::size_t bytes = size * sizeof(std::int64_t);
    Invariant(bytes <= NodeGroup::kStage, "too many ranks on one node: ", size);
    std::memcpy(group_.NextStage(), request_.counts.data(), bytes);
    Step(Place(request_.in, request_.count));
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

  // Every rank adds one slice of all ranks' arrays, and writes it to all.
  void LargeAllReduce() {
    Step(Place(request_.in, request_.count));
    if (!OpenInputs()) return Staged(request_.count);
    const auto counts = EvenCounts(request_.count, group_.size());
    const std::int64_t start =
        std::accumulate(counts.begin(), counts.begin() + group_.rank(), std::int64_t{0});
    std::vector<const void*> sources;
    std::vector<void*> destinations;
    for (char* input : inputs_) {
      destinations.push_back(input + start * element_);
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
        return Sum(start, start, start + n, At(request_.out, start));
      case Kind::kReduceScatter: {
        const std::int64_t mine = request_.offset(group_.rank());
        const std::int64_t begin = std::max(start, mine);
        const std::int64_t end = std::min(start + n, mine + request_.counts[group_.rank()]);
        if (begin < end) Sum(start, begin, end, At(request_.out, begin - mine));
        return;
      }
      case Kind::kAllGather:
        for (int r = 0; r < group_.size(); ++r) {
          Copy(request_.offset(r) + start, From(r, start, start), Part(r, start, n));
        }
        return;
      case Kind::kBroadcast:
        if (request_.root == group_.rank()) return;
        return Copy(start, From(request_.root, start, start), n);
      case Kind::kAllToAll:
      case Kind::kSendReceive:
        for (int r = 0; r < group_.size(); ++r) {
          const std::int64_t begin = std::max(start, starts_[r]);
          const std::int64_t end = std::min(start + n, starts_[r] + request_.receive_counts[r]);
          Copy(request_.receive_offset(r) + begin - starts_[r], From(r, start, begin), end - begin);
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

  // Of the elements [begin, end) of all inputs.
  void Sum(std::int64_t start, std::int64_t begin, std::int64_t end, void* out) {
    std::vector<const void*> sources;
    for (int r = 0; r < group_.size(); ++r) sources.push_back(From(r, start, begin));
    SumInRankOrder(request_.type, sources, std::span(&out, 1), end - begin);
  }

  // To element `to` of the output; nothing where n <= 0. A rank that gathers in place has its own.
  void Copy(std::int64_t to, const char* from, std::int64_t n) {
    if (n > 0 && At(request_.out, to) != from) {
      std::memcpy(At(request_.out, to), from, n * element_);
    }
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
  std::vector<char*> inputs_;  // by rank, where they are read in place
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
