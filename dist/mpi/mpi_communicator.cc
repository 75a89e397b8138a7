#include "dist/mpi/mpi_communicator.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <numeric>
#include <utility>

#include "dist/memory.h"
#include "dist/request.h"
#include "dist/sum.h"

namespace vesalius::dist {
namespace {

constexpr int kHeaderTag = 1;
constexpr int kDataTag = 2;
constexpr std::size_t kPiece = std::size_t{1} << 30;  // MPI counts are 32-bit
constexpr std::size_t kSmall = 32 << 10;              // bytes that are exchanged whole

// Carries out one request on the launch thread.
class Exchange {
 public:
  Exchange(MpiEngine& engine, MPI_Comm comm, const Request& request,
           std::chrono::milliseconds deadline)
      : engine_(engine),
        comm_(comm),
        request_(request),
        limit_(deadline),
        deadline_(std::chrono::steady_clock::now() + deadline) {}

  void Run() {
    engine_.RequireAlive(request_);
    CompareHeaders();
    switch (request_.kind) {
      case Kind::kAllReduce:
        return AllReduce();
      case Kind::kAllGather:
        return AllGather(request_.in, request_.counts);
      case Kind::kReduceScatter:
        return ReduceScatter(request_.counts, request_.out);
      case Kind::kBroadcast:
        return Broadcast();
      case Kind::kBarrier:
        return;  // the headers have met
    }
  }

 private:
  int rank() const { return engine_.rank(); }
  int size() const { return engine_.size(); }

  void CompareHeaders() {
    const Header mine = HeaderOf(request_);
    std::vector<Header> theirs(size());
    std::vector<MPI_Request> receives(size(), MPI_REQUEST_NULL);
    for (int r = 0; r < size(); ++r) {
      if (r == rank()) continue;
      receives[r] = Receive(&theirs[r], sizeof(Header), r, kHeaderTag);
      pending_.push_back(Send(&mine, sizeof(Header), r, kHeaderTag));
    }
    Wait(receives, [&] {
      std::vector<int> absent;
      for (int r = 0; r < size(); ++r) {
        int done = 1;
        if (r != rank()) MPI_Request_get_status(receives[r], &done, MPI_STATUS_IGNORE);
        if (!done) absent.push_back(r);
      }
      return RankList(absent) + " did not arrive";
    });
    WaitPending();
    for (int r = 0; r < size(); ++r) {
      if (r == rank()) continue;
      try {
        RequireSame(mine, rank(), theirs[r], r);
      } catch (const Error& error) {
        engine_.FailAll(error.code(), error.what());
      }
    }
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

  MPI_Request Send(const void* data, std::size_t bytes, int to, int tag) {
    MPI_Request request = MPI_REQUEST_NULL;
    engine_.Check(MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, to, tag, comm_, &request),
                  "MPI_Isend", request_);
    return request;
  }
  MPI_Request Receive(void* data, std::size_t bytes, int from, int tag) {
    MPI_Request request = MPI_REQUEST_NULL;
    engine_.Check(MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, from, tag, comm_, &request),
                  "MPI_Irecv", request_);
    return request;
  }
  void PostSend(const void* data, std::size_t bytes, int to) {
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
    Wait(pending_, [] { return std::string("some rank did not deliver its data"); });
    pending_.clear();
  }
  void Wait(std::vector<MPI_Request>& requests, const std::function<std::string()>& absent) {
    engine_.WaitAll(requests, {&request_, deadline_, limit_, absent});
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
  const MPI_Comm comm_;
  const Request& request_;
  const std::chrono::milliseconds limit_;
  const std::chrono::steady_clock::time_point deadline_;
  std::vector<MPI_Request> pending_;
};

class MpiCommunicator : public RequestCommunicator {
 public:
  MpiCommunicator(std::shared_ptr<MpiEngine> engine, const CommunicatorOptions& options)
      : engine_(std::move(engine)), options_(options) {
    engine_->queue().Call([this] { comm_ = engine_->MakeComm(); });
  }
  // The launch thread frees it after all that was submitted, before MPI_Finalize; like that, not
  // after a failure or when an exception takes the ranks apart.
  ~MpiCommunicator() override {
    if (std::uncaught_exceptions() > uncaught_) return;
    engine_->queue().Post([engine = engine_, comm = comm_]() mutable {
      if (!engine->failed()) MPI_Comm_free(&comm);
    });
  }
  int rank() const override { return engine_->rank(); }
  int size() const override { return engine_->size(); }
  Device device() const override { return Device::kCpu; }
  const char* backend() const override { return "mpi"; }
  void Abort(const std::string& reason) override { engine_->Abort(reason); }
  std::shared_ptr<void> Allocate(std::size_t bytes) override { return AllocateAligned(bytes); }

 protected:
  Ticket Submit(Request request) override {
    const auto shared = std::make_shared<const Request>(std::move(request));
    return engine_->queue().Submit(
        [engine = engine_, comm = comm_, deadline = options_.deadline, shared] {
          Exchange(*engine, comm, *shared, deadline).Run();
        },
        [engine = engine_, shared] {
          engine->Abort(StrCat("rank ", engine->rank(), " gave up on ", Describe(*shared)));
        });
  }

 private:
  std::shared_ptr<MpiEngine> engine_;
  const CommunicatorOptions options_;
  const int uncaught_ = std::uncaught_exceptions();
  MPI_Comm comm_ = MPI_COMM_NULL;
};

}  // namespace

std::unique_ptr<Communicator> MakeMpiCommunicator(std::shared_ptr<MpiEngine> engine,
                                                  const CommunicatorOptions& options) {
  return std::make_unique<MpiCommunicator>(std::move(engine), options);
}

}  // namespace vesalius::dist
