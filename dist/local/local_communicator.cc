#include <chrono>
#include <utility>

#include "dist/local/local_group.h"
#include "dist/memory.h"

namespace vesalius::dist {
namespace {

class LocalWork : public Ticket::Work {
 public:
  LocalWork(std::shared_ptr<LocalGroup> group, int rank,
            std::shared_ptr<LocalGroup::Operation> operation)
      : group_(std::move(group)), rank_(rank), operation_(std::move(operation)) {}
  ~LocalWork() override { group_->Drop(rank_, *operation_); }
  void Wait() override { group_->Wait(rank_, *operation_, deadline_); }

 private:
  std::shared_ptr<LocalGroup> group_;
  int rank_;
  std::shared_ptr<LocalGroup::Operation> operation_;
  const Clock::time_point deadline_ = Clock::now() + group_->deadline();
};

class LocalCommunicator : public RequestCommunicator {
 public:
  LocalCommunicator(std::shared_ptr<LocalGroup> group, Members members,
                    std::shared_ptr<TrafficMeter> whole)
      : RequestCommunicator(std::move(members), std::move(whole)), group_(std::move(group)) {}
  ~LocalCommunicator() override { group_->Leave(rank()); }
  Device device() const override { return Device::kCpu; }
  const char* backend() const override { return "local"; }
  void Abort(const std::string& reason) override { group_->Abort(reason); }
  std::shared_ptr<void> Allocate(std::size_t bytes) override { return AllocateAligned(bytes); }

 protected:
  std::shared_ptr<Ticket::Work> Submit(Request request) override {
    auto operation = group_->Post(rank(), std::move(request));
    return std::make_shared<LocalWork>(group_, rank(), std::move(operation));
  }
  std::unique_ptr<Communicator> MakeSplit(const std::string&, int color, Members part,
                                          CallSite) override {
    const std::uint64_t number = splits_++;
    if (part.size() == 0) return nullptr;
    auto group = group_->Part(number, color, part.names);
    return MakeLocalCommunicator(std::move(group), std::move(part), meter());
  }

 private:
  const std::shared_ptr<LocalGroup> group_;
  std::uint64_t splits_ = 0;
};

}  // namespace

std::unique_ptr<Communicator> MakeLocalCommunicator(std::shared_ptr<LocalGroup> group,
                                                    Members members,
                                                    std::shared_ptr<TrafficMeter> whole) {
  return std::make_unique<LocalCommunicator>(std::move(group), std::move(members),
                                             std::move(whole));
}

}  // namespace vesalius::dist
