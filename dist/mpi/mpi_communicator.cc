#include "dist/mpi/mpi_communicator.h"

#include <exception>
#include <utility>

#include "dist/memory.h"
#include "dist/mpi/mpi_exchange.h"
#include "dist/request.h"

namespace vesalius::dist {
namespace {

class MpiCommunicator : public RequestCommunicator {
 public:
  MpiCommunicator(std::shared_ptr<MpiEngine> engine, const CommunicatorOptions& options,
                  MPI_Comm comm, Members members, std::shared_ptr<TrafficMeter> whole)
      : RequestCommunicator(members, std::move(whole)),
        engine_(std::move(engine)),
        options_(options),
        group_(std::make_shared<MpiGroup>()) {
    group_->comm = comm;
    group_->last.resize(members.size());
    group_->members = std::move(members);
  }
  // The launch thread frees it after all that was submitted, before MPI_Finalize; like that, not
  // after a failure or when an exception takes the ranks apart.
  ~MpiCommunicator() override {
    if (std::uncaught_exceptions() > uncaught_) return;
    engine_->queue().Post([engine = engine_, group = group_] {
      if (!engine->failed()) MPI_Comm_free(&group->comm);
    });
  }
  Device device() const override { return Device::kCpu; }
  const char* backend() const override { return "mpi"; }
  void Abort(const std::string& reason) override { engine_->Abort(reason); }
  std::shared_ptr<void> Allocate(std::size_t bytes) override { return AllocateAligned(bytes); }

 protected:
  std::shared_ptr<Ticket::Work> Submit(Request request) override {
    const auto shared = std::make_shared<const Request>(std::move(request));
    return engine_->queue().Submit(
        [engine = engine_, group = group_, deadline = options_.deadline, shared] {
          const auto begin = Clock::now();
          const auto met = RunOverMpi(*engine, *group, *shared, deadline);
          CountTime(*shared, begin, met, Clock::now());
        },
        [engine = engine_, shared] {
          engine->Abort(StrCat("rank ", engine->rank(), " gave up on ", Describe(*shared)));
        });
  }

  std::unique_ptr<Communicator> MakeSplit(const std::string&, int color, Members part,
                                          CallSite) override {
    const MPI_Comm comm = engine_->SplitComm(group_->comm, {color}, rank(), options_.deadline)[0];
    if (part.size() == 0) return nullptr;
    return std::make_unique<MpiCommunicator>(engine_, options_, comm, std::move(part), meter());
  }

 private:
  const std::shared_ptr<MpiEngine> engine_;
  const CommunicatorOptions options_;
  const std::shared_ptr<MpiGroup> group_;
  const int uncaught_ = std::uncaught_exceptions();
};

}  // namespace

std::unique_ptr<Communicator> MakeMpiCommunicator(std::shared_ptr<MpiEngine> engine,
                                                  const CommunicatorOptions& options) {
  MPI_Comm comm = MPI_COMM_NULL;
  engine->queue().Call([&] { comm = engine->MakeComm(); });
  Members members = MembersOfOneNode(engine->rank(), engine->size());
  members.nodes = NodesOf(engine->peers());
  return std::make_unique<MpiCommunicator>(std::move(engine), options, comm, std::move(members),
                                           nullptr);
}

}  // namespace vesalius::dist
