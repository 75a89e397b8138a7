#include "dist/rehearsal.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <utility>

#include "dist/memory.h"

namespace vesalius::dist {
namespace {

// "gradient bucket 3 of 7" -> "gradient bucket"
std::string WithoutNumbers(const std::string& name) {
  std::string text = name.substr(0, name.find_first_of("0123456789"));
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

class Done : public Ticket::Work {
 public:
  void Wait() override {}
};

}  // namespace

struct Rehearsal::State {
  std::vector<RehearsedCalls> calls;
  std::atomic<std::int64_t> allocated = 0;
};

namespace {

Members Group(int nodes, int ranks_per_node) {
  Members members;
  for (int r = 0; r < nodes * ranks_per_node; ++r) {
    members.names.push_back(r);
    members.nodes.push_back(r / ranks_per_node);
  }
  return members;
}

// Rank 0 of a group whose other ranks are taken to do as it does.
class RehearsalCommunicator : public RequestCommunicator {
 public:
  using State = Rehearsal::State;

  RehearsalCommunicator(std::shared_ptr<State> state, Members members,
                        std::shared_ptr<TrafficMeter> whole)
      : RequestCommunicator(std::move(members), std::move(whole)), state_(std::move(state)) {}
  Device device() const override { return Device::kCpu; }
  const char* backend() const override { return "rehearsal"; }
  void Abort(const std::string&) override {}
  void CompareOrder() override {}  // there is nobody to compare with

  std::shared_ptr<void> Allocate(std::size_t bytes) override {
    const auto count = static_cast<std::int64_t>(bytes);
    state_->allocated += count;
    const std::shared_ptr<void> memory = AllocateAligned(bytes);
    return {memory.get(), [state = state_, memory, count](void*) { state->allocated -= count; }};
  }

 protected:
  std::shared_ptr<Ticket::Work> Submit(Request request) override {
    Note(request);
    switch (request.kind) {
      case Kind::kAllReduce:
      case Kind::kBroadcast:
      case Kind::kBarrier:
        break;
      case Kind::kAllGather:
        for (int r = 0; r < size(); ++r) {
          Copy(request, 0, request.counts[0], request.offset(r), request.counts[r]);
        }
        break;
      case Kind::kReduceScatter:
        Copy(request, 0, request.counts[0], 0, request.counts[0]);
        break;
      case Kind::kAllToAll:
        for (int r = 0; r < size(); ++r) {
          Copy(request, 0, request.counts[0], request.receive_offset(r), request.receive_counts[r]);
        }
        break;
      case Kind::kSendReceive:
        Copy(request, 0, request.count, 0,
             std::accumulate(request.receive_counts.begin(), request.receive_counts.end(),
                             std::int64_t{0}));
        break;
    }
    return std::make_shared<Done>();
  }

  // What colours the other ranks would give is not known: the parts that hybrid sharding makes are.
  std::unique_ptr<Communicator> MakeSplit(const std::string& name, int, Members members,
                                          CallSite) override {
    const int nodes = topology().node_count, ranks_per_node = topology().node_size;
    if (name == "ranks of a node") members = Group(1, ranks_per_node);
    if (name == "holders of a shard") members = Group(nodes, 1);
    return std::make_unique<RehearsalCommunicator>(state_, std::move(members), meter());
  }
  std::vector<std::string> GatherAside(const std::string& mine) override {
    return std::vector<std::string>(size(), mine);
  }

 private:
  // To out[to, to + wanted) from in[from, ...), or zeros where the other rank would send something
  // of another size than this one does.
  static void Copy(const Request& request, std::int64_t from, std::int64_t held, std::int64_t to,
                   std::int64_t wanted) {
    const std::size_t item = SizeOf(request.type), bytes = wanted * item;
    if (bytes == 0) return;
    char* out = static_cast<char*>(request.out) + to * item;
    if (held != wanted) {
      std::memset(out, 0, bytes);
    } else if (const char* in = static_cast<const char*>(request.in) + from * item; in != out) {
      std::memmove(out, in, bytes);
    }
  }

  void Note(const Request& request) {
    const std::string name = WithoutNumbers(request.name);
    auto found = std::ranges::find_if(state_->calls, [&](const RehearsedCalls& calls) {
      return calls.kind == request.kind && calls.name == name && calls.ranks == size();
    });
    if (found == state_->calls.end()) {
      state_->calls.push_back({name, request.kind, size()});
      found = std::prev(state_->calls.end());
    }
    const TrafficCount now = traffic();
    ++found->calls;
    found->bytes_sent += now.bytes_sent - last_.bytes_sent;
    last_ = now;
  }

  std::shared_ptr<State> state_;
  TrafficCount last_;
};

}  // namespace

Rehearsal::Rehearsal(int nodes, int ranks_per_node)
    : state_(std::make_shared<State>()),
      comm_(
          std::make_unique<RehearsalCommunicator>(state_, Group(nodes, ranks_per_node), nullptr)) {}
Rehearsal::~Rehearsal() = default;

Communicator& Rehearsal::comm() { return *comm_; }
std::vector<RehearsedCalls> Rehearsal::calls() const { return state_->calls; }
void Rehearsal::Reset() { state_->calls.clear(); }
std::int64_t Rehearsal::allocated_bytes() const { return state_->allocated; }

}  // namespace vesalius::dist
