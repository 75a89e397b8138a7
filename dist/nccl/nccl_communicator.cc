#include "dist/nccl/nccl_communicator.h"

#include <algorithm>
#include <utility>

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
  int GatherFrom(int r, Comm comm, Stream stream) const {
    void* slot = At(request_.out, r);
    return api_.broadcast(r == rank_ ? request_.in : slot, slot, request_.counts[r], request_.type,
                          r, comm, stream);
  }
  int ReduceTo(int r, Comm comm, Stream stream) const {
    const void* slot = At(const_cast<void*>(request_.in), r);
    return api_.reduce(slot, r == rank_ ? request_.out : nullptr, request_.counts[r], request_.type,
                       r, comm, stream);
  }
  // `call` for every rank's part that is not empty, as one group. The group is always ended.
  template <typename Call>
  int Grouped(Call call) const {
    int first = api_.group_start();
    if (first != kSuccess) return first;
    for (int r = 0; r < static_cast<int>(request_.counts.size()); ++r) {
      if (request_.counts[r] == 0) continue;
      const int result = call(r);
      if (first == kSuccess && result != kInProgress) first = result;
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
  NcclCommunicator(std::shared_ptr<const Api> api, int device, Bootstrap& bootstrap,
                   const CommunicatorOptions& options)
      : rank_(bootstrap.rank()),
        size_(bootstrap.size()),
        session_(std::make_shared<Session>(std::move(api), device, bootstrap, options.deadline)),
        scratch_(Allocate(sizeof(float))) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
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
    std::shared_ptr<void> owned(memory, [api](void* p) { api->mem_free(p); });
    session_->CheckCuda(api->zero(memory, rounded), "cudaMemset");
    return owned;
  }
  void FromHost(void* to, const void* from, std::size_t bytes) override { Copy(to, from, bytes); }
  void ToHost(void* to, const void* from, std::size_t bytes) override { Copy(to, from, bytes); }

 protected:
  Ticket Submit(Request request) override {
    auto operation = session_->Launch(Describe(request),
                                      Issue(*session_->api(), request, rank_, scratch_.get()));
    return Ticket(std::make_shared<NcclWork>(session_, std::move(operation)));
  }

 private:
  void Copy(void* to, const void* from, std::size_t bytes) {
    if (bytes > 0) session_->CheckCuda(session_->api()->copy(to, from, bytes), "cudaMemcpy");
  }

  const int rank_;
  const int size_;
  std::shared_ptr<Session> session_;
  std::shared_ptr<void> scratch_;  // what barriers add up
};

}  // namespace

std::unique_ptr<Communicator> MakeNcclCommunicator(std::shared_ptr<const Api> api, int device,
                                                   Bootstrap& bootstrap,
                                                   const CommunicatorOptions& options) {
  return std::make_unique<NcclCommunicator>(std::move(api), device, bootstrap, options);
}

}  // namespace vesalius::dist::nccl
