// Ranks that mpirun or srun started.
#include <exception>

#include "base/error.h"
#include "base/log.h"
#include "dist/backend_registry.h"
#include "dist/bootstrap_kinds.h"
#include "dist/mpi/engine.h"
#include "dist/mpi/mpi_communicator.h"
#include "dist/node/node_communicator.h"
#include "dist/two_level/two_level_communicator.h"

namespace vesalius::dist {
namespace {

class MpiBootstrap : public Bootstrap {
 public:
  MpiBootstrap(int expected_size, bool share_memory)
      : engine_(MpiEngine::Start()),
        place_(PlaceOnNode(engine_->peers(), engine_->rank())),
        share_memory_(share_memory) {
    Require(expected_size == 0 || expected_size == engine_->size(), ExitCode::kConfig,
            "the launcher started ", expected_size, " ranks but MPI sees ", engine_->size(),
            "; under Slurm start with srun --mpi=pmix");
    exchange_ = MakeMpiCommunicator(engine_, {});
  }
  ~MpiBootstrap() override {
    exchange_.reset();
    if (engine_->failed() || std::uncaught_exceptions() > uncaught_) {
      engine_->Abandon();
    } else {
      engine_->Finish();
    }
  }
  int rank() const override { return engine_->rank(); }
  int size() const override { return engine_->size(); }
  int node_rank() const override { return place_.first; }
  int node_size() const override { return place_.second; }
  const char* kind() const override { return "mpi"; }

  std::vector<std::string> Exchange(std::string_view name, std::string_view mine) override {
    return AllGatherBytes(*exchange_, name, mine);
  }
  std::unique_ptr<Communicator> MakeCommunicator(Device device,
                                                 const CommunicatorOptions& options) override {
    if (device == Device::kCuda) return MakeFromRegistry(device, *this, options);
    if (!share_memory_) return MakeFlat(options);
    if (!OnOneNode(engine_->peers())) return MakeTwoLevelCommunicator(engine_, *this, options);
    return MakeNodeCommunicator(
        *this, engine_->peers(), "mpi", options,
        [engine = engine_](const std::string& reason) { engine->Abort(reason); });
  }

  std::unique_ptr<Communicator> MakeFlat(const CommunicatorOptions& options) {
    return MakeMpiCommunicator(engine_, options);
  }

 private:
  std::shared_ptr<MpiEngine> engine_;
  const std::pair<int, int> place_;
  const bool share_memory_;
  const int uncaught_ = std::uncaught_exceptions();
  std::unique_ptr<Communicator> exchange_;
};

}  // namespace

std::unique_ptr<Communicator> MakeFlatCommunicator(Bootstrap& bootstrap,
                                                   const CommunicatorOptions& options) {
  return dynamic_cast<MpiBootstrap&>(bootstrap).MakeFlat(options);
}

std::unique_ptr<Bootstrap> MakeMpiBootstrap(int expected_size, bool share_memory) {
  return std::make_unique<MpiBootstrap>(expected_size, share_memory);
}

}  // namespace vesalius::dist
