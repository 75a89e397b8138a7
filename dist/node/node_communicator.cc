#include "dist/node/node_communicator.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "dist/bootstrap.h"
#include "dist/launch_queue.h"
#include "dist/memory.h"
#include "dist/node/node_exchange.h"
#include "dist/node/node_group.h"
#include "dist/node/segments.h"
#include "dist/request.h"

namespace vesalius::dist {
namespace {

// What a communicator and those split from it have in common.
struct Family {
  const char* backend;
  CommunicatorOptions options;
  std::function<void(const std::string&)> on_failure;
  std::vector<Peer> peers;  // by number in the whole job
  std::shared_ptr<Segments> segments = std::make_shared<Segments>();
  LaunchQueue queue;
};

class NodeCommunicator : public RequestCommunicator {
 public:
  NodeCommunicator(Members members, std::shared_ptr<TrafficMeter> whole,
                   std::shared_ptr<Family> family, std::shared_ptr<NodeGroup> group)
      : RequestCommunicator(std::move(members), std::move(whole)),
        family_(std::move(family)),
        group_(std::move(group)) {}
  ~NodeCommunicator() override {
    if (std::uncaught_exceptions() > uncaught_) {
      Fail(ExitCode::kPeerLost, StrCat("rank ", name(), " left after an error"));
    }
    family_->queue.Call([] {});  // what is queued uses this object
  }
  Device device() const override { return Device::kCpu; }
  const char* backend() const override { return family_->backend; }
  void Abort(const std::string& reason) override { Fail(ExitCode::kPeerLost, reason); }
  std::shared_ptr<void> Allocate(std::size_t bytes) override {
    return bytes < kShareFrom ? AllocateAligned(bytes) : family_->segments->Allocate(bytes);
  }

 protected:
  std::shared_ptr<Ticket::Work> Submit(Request request) override {
    const auto shared = std::make_shared<const Request>(std::move(request));
    return family_->queue.Submit([this, shared] { Run(*shared, Clock::now()); },
                                 [this, shared] {
                                   Fail(ExitCode::kPeerLost,
                                        StrCat("rank ", name(), " gave up on ", Describe(*shared)));
                                 });
  }

  void Perform(Request request) override {
    if (!family_->queue.TryRun([&] { Run(request, request.start); }))
      Submit(std::move(request))->Wait();
  }

  std::unique_ptr<Communicator> MakeSplit(const std::string& split, int, Members part,
                                          CallSite site) override {
    const ExchangeTexts exchange = [&](const std::string& what, const std::string& mine) {
      return GatherInPart(StrCat(split, ": ", what), mine, part, site);
    };
    if (part.size() == 0) return NodeGroup::StayOut(exchange), nullptr;
    auto group = std::make_shared<NodeGroup>(part, PeersOf(part), exchange, group_);
    return std::make_unique<NodeCommunicator>(std::move(part), meter(), family_, std::move(group));
  }

 private:
  int name() const { return members().names[rank()]; }

  std::vector<Peer> PeersOf(const Members& part) const {
    std::vector<Peer> peers;
    for (int name : part.names) peers.push_back(family_->peers[name]);
    return peers;
  }

  void Run(const Request& request, Clock::time_point begin) {
    try {
      const auto met =
          RunOnNode(*group_, *family_->segments, request, begin, family_->options.deadline);
      CountTime(request, begin, met, Clock::now());
    } catch (const Error& error) {
      Fail(error.code(), error.what());
      throw;
    }
  }

  void Fail(ExitCode code, const std::string& message) {
    group_->Fail(code, message);
    std::call_once(told_, [&] {
      if (family_->on_failure) family_->on_failure(message);
    });
  }

  const std::shared_ptr<Family> family_;
  const std::shared_ptr<NodeGroup> group_;
  const int uncaught_ = std::uncaught_exceptions();
  std::once_flag told_;
};

}  // namespace

bool OnOneNode(const std::vector<Peer>& peers) {
  return std::ranges::all_of(NodesOf(peers), [](int node) { return node == 0; });
}

std::unique_ptr<Communicator> MakeNodeCommunicator(
    Bootstrap& bootstrap, const std::vector<Peer>& peers, const char* backend,
    const CommunicatorOptions& options, std::function<void(const std::string&)> on_failure) {
  auto family = std::make_shared<Family>();
  family->backend = backend;
  family->options = options;
  family->on_failure = std::move(on_failure);
  family->peers = peers;
  Members members = MembersOfOneNode(bootstrap.rank(), bootstrap.size());
  auto group = std::make_shared<NodeGroup>(
      members, peers,
      [&](const std::string& name, const std::string& mine) {
        return bootstrap.Exchange(name, mine);
      },
      nullptr);
  return std::make_unique<NodeCommunicator>(std::move(members), nullptr, std::move(family),
                                            std::move(group));
}

}  // namespace vesalius::dist
