#include "dist/node/node_communicator.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "dist/bootstrap.h"
#include "dist/launch_queue.h"
#include "dist/memory.h"
#include "dist/node/node_group.h"
#include "dist/request.h"
#include "dist/sum.h"

namespace vesalius::dist {
namespace {

constexpr std::size_t kShareFrom = 64 << 10;  // smaller allocations are plain memory
constexpr std::size_t kOpenLimit = 16;        // peers' memories kept open, by peer

// This rank's allocations that others can read, and the others' that were opened. Thread-safe.
class Segments : public std::enable_shared_from_this<Segments> {
 public:
  explicit Segments(int size) : opened_(size) {}

  std::shared_ptr<void> Allocate(std::size_t bytes) {
    auto memory = std::make_shared<SharedMemory>(SharedMemory::Create(bytes));
    char* data = memory->data();
    std::lock_guard lock(mutex_);
    const std::uint64_t serial = ++next_serial_;
    own_[data] = {serial, bytes, memory->address()};
    return {data, [self = shared_from_this(), memory](char* p) {
              std::lock_guard forget(self->mutex_);
              self->own_.erase(p);
            }};
  }

  NodeGroup::Location Find(const void* data, std::size_t bytes) {
    std::lock_guard lock(mutex_);
    NodeGroup::Location where;
    const char* begin = static_cast<const char*>(data);
    auto next = own_.upper_bound(begin);
    if (next == own_.begin()) return where;
    const auto& [start, entry] = *std::prev(next);
    const auto offset = static_cast<std::size_t>(begin - start);
    if (offset + bytes > entry.bytes || entry.address.size() >= sizeof(where.address)) return where;
    where.serial = entry.serial;
    where.offset = offset;
    std::memcpy(where.address, entry.address.data(), entry.address.size());
    return where;
  }

  char* Open(int r, const NodeGroup::Location& where) {
    std::lock_guard lock(mutex_);
    auto& theirs = opened_[r];
    auto found = theirs.find(where.serial);
    if (found == theirs.end()) {
      if (theirs.size() >= kOpenLimit) theirs.erase(theirs.begin());
      found = theirs.emplace(where.serial, SharedMemory::Open(where.address)).first;
    }
    return found->second.data() + where.offset;
  }

 private:
  struct Entry {
    std::uint64_t serial;
    std::size_t bytes;
    std::string address;
  };
  std::mutex mutex_;
  std::uint64_t next_serial_ = 0;
  std::map<const char*, Entry> own_;
  std::vector<std::map<std::uint64_t, SharedMemory>> opened_;
};

// Carries out one request on the launch thread.
class Exchange {
 public:
  Exchange(NodeGroup& group, Segments& segments, const Request& request,
           std::chrono::milliseconds deadline)
      : group_(group),
        segments_(segments),
        request_(request),
        limit_{std::chrono::steady_clock::now() + deadline, deadline},
        header_(HeaderOf(request)),
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
      case Kind::kBarrier:
        return Step({});
    }
  }

 private:
  // Later steps of one collective announce later numbers.
  void Step(const NodeGroup::Location& where) {
    group_.Step(request_, header_, where, limit_);
    ++header_.hash;
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
                                      : segments_.Open(r, group_.LocationOf(r));
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
};

class NodeCommunicator : public RequestCommunicator {
 public:
  NodeCommunicator(Bootstrap& bootstrap, const std::vector<Peer>& peers, const char* backend,
                   const CommunicatorOptions& options,
                   std::function<void(const std::string&)> on_failure)
      : group_(std::make_shared<NodeGroup>(bootstrap, peers)),
        segments_(std::make_shared<Segments>(bootstrap.size())),
        backend_(backend),
        options_(options),
        on_failure_(std::move(on_failure)) {}
  ~NodeCommunicator() override {
    if (std::uncaught_exceptions() > uncaught_) {
      Fail(ExitCode::kPeerLost, StrCat("rank ", rank(), " left after an error"));
    }
  }
  int rank() const override { return group_->rank(); }
  int size() const override { return group_->size(); }
  Device device() const override { return Device::kCpu; }
  const char* backend() const override { return backend_; }

  void Abort(const std::string& reason) override { Fail(ExitCode::kPeerLost, reason); }

  std::shared_ptr<void> Allocate(std::size_t bytes) override {
    return bytes < kShareFrom ? AllocateAligned(bytes) : segments_->Allocate(bytes);
  }

 protected:
  Ticket Submit(Request request) override {
    const auto shared = std::make_shared<const Request>(std::move(request));
    return queue_.Submit(
        [this, shared] {
          try {
            Exchange(*group_, *segments_, *shared, options_.deadline).Run();
          } catch (const Error& error) {
            Fail(error.code(), error.what());
            throw;
          }
        },
        [this, shared] {
          Fail(ExitCode::kPeerLost, StrCat("rank ", rank(), " gave up on ", Describe(*shared)));
        });
  }

 private:
  void Fail(ExitCode code, const std::string& message) {
    group_->Fail(code, message);
    std::call_once(told_, [&] {
      if (on_failure_) on_failure_(message);
    });
  }

  std::shared_ptr<NodeGroup> group_;
  std::shared_ptr<Segments> segments_;
  const char* const backend_;
  const CommunicatorOptions options_;
  std::function<void(const std::string&)> on_failure_;
  const int uncaught_ = std::uncaught_exceptions();
  std::once_flag told_;
  LaunchQueue queue_;  // last: its thread uses the others
};

}  // namespace

bool OnOneNode(const std::vector<Peer>& peers) {
  return std::ranges::all_of(peers, [&](const Peer& peer) {
    return peer.machine == peers[0].machine && peer.pids == peers[0].pids;
  });
}

std::unique_ptr<Communicator> MakeNodeCommunicator(
    Bootstrap& bootstrap, const std::vector<Peer>& peers, const char* backend,
    const CommunicatorOptions& options, std::function<void(const std::string&)> on_failure) {
  return std::make_unique<NodeCommunicator>(bootstrap, peers, backend, options,
                                            std::move(on_failure));
}

}  // namespace vesalius::dist
