#include "dist/nccl/nccl_communicator.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "dist/nccl/session.h"
#include "dist/request.h"

namespace vesalius::dist::nccl {
namespace {

class NcclWork : public Ticket::Work {
 public:
  NcclWork(std::shared_ptr<Session> session, std::shared_ptr<Session::Operation> operation)
      : session_(std::move(session)), operation_(std::move(operation)) {}
  ~NcclWork() override { session_->Drop(*operation_); }
  void Wait() override { session_->Wait(*operation_); }

 private:
  std::shared_ptr<Session> session_;
  std::shared_ptr<Session::Operation> operation_;
};

// Puts one request on the stream as NCCL calls.
class Issue {
 public:
  Issue(const Api& api, const Request& request, int rank, void* scratch)
      : api_(api), request_(request), rank_(rank), scratch_(scratch) {}

  int operator()(Comm comm, Stream stream) const {
    const auto count = static_cast<std::size_t>(request_.count);
    switch (request_.kind) {
      case Kind::kAllReduce:
        return api_.all_reduce(request_.in, request_.out, count, request_.type, comm, stream);
      case Kind::kBroadcast:
        return api_.broadcast(request_.in, request_.out, count, request_.type, request_.root, comm,
                              stream);
      case Kind::kAllGather:
        return Equal() ? api_.all_gather(request_.in, request_.out, request_.counts[0],
                                         request_.type, comm, stream)
                       : Grouped([&](int r) { return GatherFrom(r, comm, stream); });
      case Kind::kReduceScatter:
        return Equal() ? api_.reduce_scatter(request_.in, request_.out, request_.counts[0],
                                             request_.type, comm, stream)
                       : Grouped([&](int r) { return ReduceTo(r, comm, stream); });
      case Kind::kAllToAll:
      case Kind::kSendReceive:
        return Grouped([&](int r) { return Swap(r, comm, stream); });
      case Kind::kBarrier:
        return api_.all_reduce(scratch_, scratch_, 1, DType::kFloat32, comm, stream);
    }
    return kInvalidUsage;
  }

 private:
  bool Equal() const {
    return std::ranges::all_of(request_.counts,
                               [&](std::int64_t c) { return c == request_.counts[0]; });
  }
  int Swap(int r, Comm comm, Stream stream) const {
    int sent = kSuccess;
    if (request_.counts[r] > 0) {
      sent = api_.send(At(const_cast<void*>(request_.in), r), request_.counts[r], request_.type, r,
                       comm, stream);
    }
    if (Failed(sent) || request_.receive_counts[r] == 0) return sent;
    const std::int64_t start = request_.receive_offset(r) * SizeOf(request_.type);
    return api_.receive(static_cast<char*>(request_.out) + start, request_.receive_counts[r],
                        request_.type, r, comm, stream);
  }
  static bool Failed(int result) { return result != kSuccess && result != kInProgress; }
  int GatherFrom(int r, Comm comm, Stream stream) const {
    if (request_.counts[r] == 0) return kSuccess;
    void* slot = At(request_.out, r);
    return api_.broadcast(r == rank_ ? request_.in : slot, slot, request_.counts[r], request_.type,
                          r, comm, stream);
  }
  int ReduceTo(int r, Comm comm, Stream stream) const {
    if (request_.counts[r] == 0) return kSuccess;
    const void* slot = At(const_cast<void*>(request_.in), r);
    return api_.reduce(slot, r == rank_ ? request_.out : nullptr, request_.counts[r], request_.type,
                       r, comm, stream);
  }
  // `call` for every rank, up to one that fails, as one group. The group is always ended.
  template <typename Call>
  int Grouped(Call call) const {
    int first = api_.group_start();
    if (first != kSuccess) return first;
    for (int r = 0; r < static_cast<int>(request_.counts.size()) && first == kSuccess; ++r) {
      const int result = call(r);
      if (Failed(result)) first = result;
    }
    const int end = api_.group_end();
    return first == kSuccess ? end : first;
  }
  void* At(void* base, int r) const {
    return static_cast<char*>(base) +
           request_.offset(r) * static_cast<std::int64_t>(SizeOf(request_.type));
  }

  const Api& api_;
  const Request& request_;
  const int rank_;
  void* const scratch_;
};

class NcclCommunicator : public RequestCommunicator {
 public:
  // `bootstrap`, where it has the same ranks, outlives this.
  NcclCommunicator(std::shared_ptr<Session> session, Members members,
                   std::shared_ptr<TrafficMeter> whole, Bootstrap* bootstrap)
      : RequestCommunicator(std::move(members), std::move(whole)),
        session_(std::move(session)),
        bootstrap_(bootstrap),
        scratch_(Allocate(sizeof(float))) {}
  Device device() const override { return Device::kCuda; }
  const char* backend() const override { return "nccl"; }
  void Abort(const std::string& reason) override { session_->Abort(reason); }

  std::shared_ptr<void> Allocate(std::size_t bytes) override {
    const std::size_t rounded = (bytes / 64 + 1) * 64;
    const std::shared_ptr<const Api> api = session_->api();
    void* memory = nullptr;
    const int result = api->mem_alloc(&memory, rounded);
    Require(result == kSuccess, ExitCode::kNodeUnhealthy, "ncclMemAlloc of ", HumanBytes(rounded),
            " failed: ", api->error_text(result, nullptr));
    std::shared_ptr<void> owned(memory, [api](void* p) {
      const int freed = api->mem_free(p);
      if (freed != kSuccess) log::Warning("ncclMemFree failed: ", api->error_text(freed, nullptr));
    });
    session_->CheckCuda(api->zero(memory, rounded), "cudaMemset");
    return owned;
  }
  void FromHost(void* to, const void* from, std::size_t bytes) override { Copy(to, from, bytes); }
  void ToHost(void* to, const void* from, std::size_t bytes) override { Copy(to, from, bytes); }

 protected:
  std::shared_ptr<Ticket::Work> Submit(Request request) override {
    request.meter->Add(request.kind,
                       {.bytes_between_nodes = BytesBetweenNodes(request, topology())});
    auto operation =
        session_->Launch(request, Issue(*session_->api(), request, rank(), scratch_.get()));
    return std::make_shared<NcclWork>(session_, std::move(operation));
  }

  std::unique_ptr<Communicator> MakeSplit(const std::string& name, int color, Members part,
                                          CallSite) override {
    auto session = session_->Split(name, color, rank(), part);
    if (!session) return nullptr;
    return std::make_unique<NcclCommunicator>(std::move(session), std::move(part), meter(),
                                              nullptr);
  }

 private:
  void Copy(void* to, const void* from, std::size_t bytes) {
    if (bytes > 0) session_->CheckCuda(session_->api()->copy(to, from, bytes), "cudaMemcpy");
  }

  std::vector<std::string> GatherAside(const std::string& mine) override {
    return bootstrap_ ? bootstrap_->Exchange("last calls", mine)
                      : RequestCommunicator::GatherAside(mine);
  }

  const std::shared_ptr<Session> session_;
  Bootstrap* const bootstrap_;
  std::shared_ptr<void> scratch_;  // what barriers add up
};

std::vector<Peer> ExchangePeers(Bootstrap& bootstrap) {
  std::vector<Peer> peers;
  for (const std::string& text : bootstrap.Exchange("nccl peers", Encode(ThisProcess()))) {
    peers.push_back(DecodePeer(text));
  }
  return peers;
}

}  // namespace

std::unique_ptr<Communicator> MakeNcclCommunicator(std::shared_ptr<const Api> api, int device,
                                                   Bootstrap& bootstrap,
                                                   const CommunicatorOptions& options) {
  const std::vector<Peer> peers = ExchangePeers(bootstrap);
  Members members = MembersOfOneNode(bootstrap.rank(), bootstrap.size());
  members.nodes = NodesOf(peers);
  auto session = Session::Join(std::move(api), device, bootstrap, peers, options.deadline);
  return std::make_unique<NcclCommunicator>(std::move(session), std::move(members), nullptr,
                                            &bootstrap);
}

}  // namespace vesalius::dist::nccl
