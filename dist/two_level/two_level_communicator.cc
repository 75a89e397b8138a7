#include "dist/two_level/two_level_communicator.h"

#include <exception>
#include <utility>

#include "dist/memory.h"
#include "dist/node/node_exchange.h"
#include "dist/two_level/two_level_exchange.h"

namespace vesalius::dist {
namespace {

class TwoLevelCommunicator : public RequestCommunicator {
 public:
  TwoLevelCommunicator(std::shared_ptr<MpiEngine> engine, std::shared_ptr<Segments> segments,
                       const CommunicatorOptions& options, std::shared_ptr<TwoLevelGroup> group,
                       std::shared_ptr<TrafficMeter> whole)
      : RequestCommunicator(group->members, std::move(whole)),
        engine_(std::move(engine)),
        segments_(std::move(segments)),
        options_(options),
        group_(std::move(group)) {}
  // As ~MpiCommunicator.
  ~TwoLevelCommunicator() override {
    if (std::uncaught_exceptions() > uncaught_) {
      Abort(StrCat("rank ", engine_->rank(), " left after an error"));
      return;
    }
    engine_->queue().Post([engine = engine_, group = group_] {
      if (engine->failed()) return;
      MPI_Comm_free(&group->all.comm);
      if (group->lane.comm != MPI_COMM_NULL) MPI_Comm_free(&group->lane.comm);
    });
  }
  Device device() const override { return Device::kCpu; }
  const char* backend() const override { return "mpi"; }
  void Abort(const std::string& reason) override {
    group_->node->Fail(ExitCode::kPeerLost, reason);
    engine_->Abort(reason);
  }
  std::shared_ptr<void> Allocate(std::size_t bytes) override {
    return bytes < kShareFrom ? AllocateAligned(bytes) : segments_->Allocate(bytes);
  }

  // Collective over the ranks that share `parent`, all of which call it; `group` describes this
  // rank's part of them, null where it is in none.
  static void Connect(MpiEngine& engine, MPI_Comm parent, int parent_rank, TwoLevelGroup* group,
                      std::shared_ptr<NodeGroup> whole, std::chrono::milliseconds limit,
                      const ExchangeTexts& exchange) {
    const int part = group ? group->members.names[0] : -1;
    const bool in_lane = group && group->lane.members.size() > 0;
    const int lane = in_lane ? group->lane.members.names[0] : -1;
    const std::vector<MPI_Comm> comms = engine.SplitComm(parent, {part, lane}, parent_rank, limit);
    if (!group) return NodeGroup::StayOut(exchange);
    group->all.comm = comms[0];
    group->lane.comm = comms[1];
    const Members on_node = NodePart(*group);
    std::vector<Peer> peers;
    for (int name : on_node.names) peers.push_back(engine.peers()[name]);
    group->node = std::make_shared<NodeGroup>(on_node, peers, exchange, std::move(whole));
  }

 protected:
  std::shared_ptr<Ticket::Work> Submit(Request request) override {
    const auto shared = std::make_shared<const Request>(std::move(request));
    return engine_->queue().Submit(
        [engine = engine_, group = group_, segments = segments_, deadline = options_.deadline,
         shared] { Run(*engine, *group, *segments, *shared, deadline); },
        [engine = engine_, group = group_, shared] {
          const std::string reason =
              StrCat("rank ", engine->rank(), " gave up on ", Describe(*shared));
          group->node->Fail(ExitCode::kPeerLost, reason);
          engine->Abort(reason);
        });
  }

  std::unique_ptr<Communicator> MakeSplit(const std::string& name, int, Members part,
                                          CallSite site) override {
    std::shared_ptr<TwoLevelGroup> group;
    Members on_node;
    if (part.size() > 0) {
      group = std::make_shared<TwoLevelGroup>(DescribeTwoLevels(part));
      on_node = NodePart(*group);
    }
    Connect(*engine_, group_->all.comm, rank(), group.get(), group_->node, options_.deadline,
            [&](const std::string& what, const std::string& mine) {
              return GatherInPart(StrCat(name, ": ", what), mine, on_node, site);
            });
    if (!group) return nullptr;
    return std::make_unique<TwoLevelCommunicator>(engine_, segments_, options_, std::move(group),
                                                  meter());
  }

 private:
  // A failure of either level ends both.
  static void Run(MpiEngine& engine, TwoLevelGroup& group, Segments& segments,
                  const Request& request, std::chrono::milliseconds deadline) {
    try {
      const auto begin = Clock::now();
      const auto met = RunOnTwoLevels(engine, group, segments, request, deadline);
      CountTime(request, begin, met, Clock::now());
    } catch (const Error& error) {
      group.node->Fail(error.code(), error.what());
      if (!engine.failed()) engine.FailAll(error.code(), error.what());
      throw;
    }
  }

  const std::shared_ptr<MpiEngine> engine_;
  const std::shared_ptr<Segments> segments_;
  const CommunicatorOptions options_;
  const std::shared_ptr<TwoLevelGroup> group_;
  const int uncaught_ = std::uncaught_exceptions();
};

}  // namespace

std::unique_ptr<Communicator> MakeTwoLevelCommunicator(std::shared_ptr<MpiEngine> engine,
                                                       Bootstrap& bootstrap,
                                                       const CommunicatorOptions& options) {
  Members members = MembersOfOneNode(engine->rank(), engine->size());
  members.nodes = NodesOf(engine->peers());
  auto group = std::make_shared<TwoLevelGroup>(DescribeTwoLevels(members));
  const Members on_node = NodePart(*group);
  TwoLevelCommunicator::Connect(
      *engine, MPI_COMM_WORLD, engine->rank(), group.get(), nullptr, options.deadline,
      [&](const std::string& name, const std::string& mine) {
        const std::vector<std::string> all = bootstrap.Exchange(name, mine);
        std::vector<std::string> texts;
        for (int r : on_node.names) texts.push_back(all[r]);
        return texts;
      });
  return std::make_unique<TwoLevelCommunicator>(std::move(engine), std::make_shared<Segments>(),
                                                options, std::move(group), nullptr);
}

}  // namespace vesalius::dist
