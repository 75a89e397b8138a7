// Ranks that are threads of this process, and the process that is alone.
#include <mutex>
#include <utility>

#include "dist/backend_registry.h"
#include "dist/bootstrap_kinds.h"
#include "dist/local/local_group.h"

namespace vesalius::dist {

// The k-th communicator that a rank makes joins the k-th group. Thread-safe.
class LocalWorld {
 public:
  explicit LocalWorld(int size) : size_(size) {}
  int size() const { return size_; }

  std::shared_ptr<LocalGroup> Group(std::size_t k, const CommunicatorOptions& options) {
    std::lock_guard lock(mutex_);
    while (groups_.size() <= k) {
      groups_.push_back(std::make_shared<LocalGroup>(MembersOfOneNode(0, size_).names, options));
      if (!aborted_.empty()) groups_.back()->Abort(aborted_);
    }
    return groups_[k];
  }

  void Abort(const std::string& reason) {
    std::lock_guard lock(mutex_);
    if (aborted_.empty()) aborted_ = reason;
    for (const auto& group : groups_) group->Abort(reason);
  }

 private:
  const int size_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<LocalGroup>> groups_;
  std::string aborted_;
};

namespace {

class LocalBootstrap : public Bootstrap {
 public:
  LocalBootstrap(std::shared_ptr<LocalWorld> world, int rank)
      : world_(std::move(world)), rank_(rank), exchange_(Make({})) {}
  int rank() const override { return rank_; }
  int size() const override { return world_->size(); }
  int node_rank() const override { return rank_; }
  int node_size() const override { return world_->size(); }
  const char* kind() const override { return world_->size() == 1 ? "single" : "local"; }

  std::vector<std::string> Exchange(std::string_view name, std::string_view mine) override {
    return AllGatherBytes(*exchange_, name, mine);
  }
  std::unique_ptr<Communicator> MakeCommunicator(Device device,
                                                 const CommunicatorOptions& options) override {
    if (device == Device::kCuda) return MakeFromRegistry(device, *this, options);
    return Make(options);
  }

 private:
  std::unique_ptr<Communicator> Make(const CommunicatorOptions& options) {
    return MakeLocalCommunicator(world_->Group(made_++, options), MembersOfOneNode(rank_, size()));
  }

  std::shared_ptr<LocalWorld> world_;
  int rank_;
  std::size_t made_ = 0;
  std::unique_ptr<Communicator> exchange_;
};

}  // namespace

std::shared_ptr<LocalWorld> MakeLocalWorld(int size) { return std::make_shared<LocalWorld>(size); }

std::unique_ptr<Bootstrap> MakeLocalBootstrap(std::shared_ptr<LocalWorld> world, int rank) {
  return std::make_unique<LocalBootstrap>(std::move(world), rank);
}

void AbortLocalWorld(LocalWorld& world, const std::string& reason) { world.Abort(reason); }

}  // namespace vesalius::dist
