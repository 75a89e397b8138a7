#include "dist/mpi/mpi_exchange.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>

#include "dist/fault_hook.h"
#include "dist/memory.h"
#include "dist/sum.h"

namespace vesalius::dist {
namespace {

constexpr int kHeaderTag = 1;
constexpr int kDataTag = 2;
constexpr std::size_t kPiece = std::size_t{1} << 30;  // MPI counts are 32-bit
constexpr std::size_t kSmall = 32 << 10;              // bytes that are exchanged whole

class Exchange {
 public:
  Exchange(MpiEngine& engine, MpiGroup& group, const Request& request,
           std::chrono::milliseconds deadline)
      : engine_(engine),
        group_(group),
        request_(request),
        limit_(deadline),
        deadline_(Clock::now() + deadline) {}

  void Run() {
    engine_.RequireAlive(request_);
    Greet();
    met_ = Clock::now();
    if (request_.dies_inside) Die();
    switch (request_.kind) {
      case Kind::kAllReduce:
        return AllReduce();
      case Kind::kAllGather:
        return AllGather(request_.in, request_.counts);
      case Kind::kReduceScatter:
        return ReduceScatter(request_.counts, request_.out);
      case Kind::kBroadcast:
        return Broadcast();
      case Kind::kAllToAll:
      case Kind::kSendReceive:
        return Swap();
      case Kind::kBarrier:
        return;  // the greetings have met
    }
  }

  // When the last rank had arrived.
  Clock::time_point met() const { return met_; }

 private:
  // What travels first, to every other rank.
  struct Greeting {
    Header header;
    std::int64_t sends = 0;    // elements to the rank that gets this greeting; all-to-all and
    std::int64_t expects = 0;  // send/receive only
  };

  int rank() const { return group_.members.rank; }
  int size() const { return group_.members.size(); }
  int name(int r) const { return group_.members.names[r]; }
  bool SameNode(int r) const { return group_.members.nodes[r] == group_.members.nodes[rank()]; }

  void Greet() {
    const bool pairs = !request_.receive_counts.empty();
    std::vector<Greeting> mine(size(), Greeting{request_.header});
    std::vector<Greeting> theirs(size());
    std::vector<MPI_Request> receives(size(), MPI_REQUEST_NULL);
    for (int r = 0; r < size(); ++r) {
      if (pairs) mine[r].sends = request_.counts[r];
      if (pairs) mine[r].expects = request_.receive_counts[r];
      if (r == rank()) continue;
      receives[r] = Receive(&theirs[r], sizeof(Greeting), r, kHeaderTag);
      pending_.push_back(Send(&mine[r], sizeof(Greeting), r, kHeaderTag));
    }
    theirs[rank()] = mine[rank()];
    Wait(receives, [&] { return DescribeAbsent(receives); });
    WaitPending();
    try {
      for (int r = 0; r < size(); ++r) Compare(mine[r], theirs[r], r, pairs);
    } catch (const Error& error) {
      engine_.FailAll(error.code(), error.what());
    }
    for (int r = 0; r < size(); ++r) group_.last[r] = theirs[r].header;
  }

  void Compare(const Greeting& mine, const Greeting& theirs, int r, bool pairs) const {
    RequireSame(mine.header, name(rank()), theirs.header, name(r));
    if (!pairs) return;
    RequireSamePair(mine.header, name(rank()), mine.sends, theirs.header, name(r), theirs.expects);
    RequireSamePair(theirs.header, name(r), theirs.sends, mine.header, name(rank()), mine.expects);
  }

  std::string DescribeAbsent(const std::vector<MPI_Request>& receives) const {
    std::vector<int> absent;
    std::string calls;
    for (int r = 0; r < size(); ++r) {
      int done = 1;
      if (r != rank()) MPI_Request_get_status(receives[r], &done, MPI_STATUS_IGNORE);
      if (done) continue;
      absent.push_back(name(r));
      calls += DescribeLast(name(r), group_.last[r]);
    }
    return StrCat(RankList(absent), " did not arrive within ", limit_.count(), " ms", calls);
  }

  void AllReduce() {
    if (size() == 1) return;
    if (request_.bytes() <= kSmall) {
      const std::vector<std::int64_t> zero(size(), 0);
      return SumFromAll(zero, std::vector<std::int64_t>(size(), request_.count), request_.out);
    }
    const std::vector<std::int64_t> counts = EvenCounts(request_.count, size());
    char* slice = At(request_.out, Offset(counts, rank()));
    ReduceScatter(counts, slice);
    AllGather(slice, counts);
  }

  void ReduceScatter(const std::vector<std::int64_t>& counts, void* out) {
    std::vector<std::int64_t> offsets;
    for (int r = 0; r < size(); ++r) offsets.push_back(Offset(counts, r));
    SumFromAll(offsets, counts, out);
  }

  // Sends in[offsets[r], +counts[r]) to every rank r; out = the sum of what all ranks sent here.
  void SumFromAll(const std::vector<std::int64_t>& offsets, const std::vector<std::int64_t>& counts,
                  void* out) {
    const std::int64_t mine = counts[rank()];
    const std::size_t bytes = mine * SizeOf(request_.type);
    const auto scratch = AllocateAligned(bytes * size());
    std::vector<const void*> sources;
    for (int r = 0; r < size(); ++r) {
      char* slot = static_cast<char*>(scratch.get()) + bytes * r;
      sources.push_back(r == rank() ? At(request_.in, offsets[r]) : slot);
      if (r == rank()) continue;
      PostReceive(slot, bytes, r);
      PostSend(At(request_.in, offsets[r]), counts[r] * SizeOf(request_.type), r);
    }
    WaitPending();
    SumInRankOrder(request_.type, sources, std::span(&out, 1), mine);
  }

  void AllGather(const void* in, const std::vector<std::int64_t>& counts) {
    const std::size_t bytes = counts[rank()] * SizeOf(request_.type);
    for (int r = 0; r < size(); ++r) {
      char* slot = At(request_.out, Offset(counts, r));
      if (r == rank()) {
        if (bytes > 0 && slot != in) std::memmove(slot, in, bytes);
        continue;
      }
      PostReceive(slot, counts[r] * SizeOf(request_.type), r);
      PostSend(in, bytes, r);
    }
    WaitPending();
  }

  void Broadcast() {
    for (int r = 0; r < size(); ++r) {
      if (r != request_.root && rank() == request_.root) PostSend(request_.in, request_.bytes(), r);
    }
    if (rank() != request_.root) PostReceive(request_.out, request_.bytes(), request_.root);
    WaitPending();
  }

  void Swap() {
    for (int r = 0; r < size(); ++r) {
      const std::size_t sent = request_.counts[r] * SizeOf(request_.type);
      const std::size_t expected = request_.receive_counts[r] * SizeOf(request_.type);
      const char* in = At(request_.in, request_.offset(r));
      char* out = At(request_.out, request_.receive_offset(r));
      if (group_.between_nodes_only && SameNode(r)) continue;
      if (r == rank()) {
        if (sent > 0) std::memmove(out, in, sent);
        continue;
      }
      PostReceive(out, expected, r);
      PostSend(in, sent, r);
    }
    WaitPending();
  }

  MPI_Request Send(const void* data, std::size_t bytes, int to, int tag) {
    MPI_Request request = MPI_REQUEST_NULL;
    engine_.Check(
        MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, to, tag, group_.comm, &request),
        "MPI_Isend", request_);
    return request;
  }
  MPI_Request Receive(void* data, std::size_t bytes, int from, int tag) {
    MPI_Request request = MPI_REQUEST_NULL;
    engine_.Check(
        MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, from, tag, group_.comm, &request),
        "MPI_Irecv", request_);
    return request;
  }
  void PostSend(const void* data, std::size_t bytes, int to) {
    if (group_.members.nodes[to] != group_.members.nodes[rank()]) {
      request_.meter->Add(request_.kind, {.bytes_between_nodes = static_cast<std::int64_t>(bytes)});
    }
    for (std::size_t start = 0; start < bytes; start += kPiece) {
      pending_.push_back(Send(static_cast<const char*>(data) + start,
                              std::min(kPiece, bytes - start), to, kDataTag));
    }
  }
  void PostReceive(void* data, std::size_t bytes, int from) {
    for (std::size_t start = 0; start < bytes; start += kPiece) {
      pending_.push_back(Receive(static_cast<char*>(data) + start, std::min(kPiece, bytes - start),
                                 from, kDataTag));
    }
  }

  void WaitPending() {
    Wait(pending_, [this] {
      return StrCat("some rank did not deliver its data within ", limit_.count(), " ms");
    });
    pending_.clear();
  }
  void Wait(std::vector<MPI_Request>& requests, const std::function<std::string()>& absent) {
    engine_.WaitAll(requests, {&request_, deadline_, absent});
  }

  static std::int64_t Offset(const std::vector<std::int64_t>& counts, int r) {
    return std::accumulate(counts.begin(), counts.begin() + r, std::int64_t{0});
  }
  char* At(void* base, std::int64_t element) const {
    return static_cast<char*>(base) + element * static_cast<std::int64_t>(SizeOf(request_.type));
  }
  const char* At(const void* base, std::int64_t element) const {
    return static_cast<const char*>(base) +
           element * static_cast<std::int64_t>(SizeOf(request_.type));
  }

  MpiEngine& engine_;
  MpiGroup& group_;
  const Request& request_;
  const std::chrono::milliseconds limit_;
  const Clock::time_point deadline_;
  Clock::time_point met_;
  std::vector<MPI_Request> pending_;
};

}  // namespace

Clock::time_point RunOverMpi(MpiEngine& engine, MpiGroup& group, const Request& request,
                             std::chrono::milliseconds deadline) {
  Exchange exchange(engine, group, request, deadline);
  exchange.Run();
  return exchange.met();
}

}  // namespace vesalius::dist
