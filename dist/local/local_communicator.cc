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
  const std::chrono::steady_clock::time_point deadline_ =
      std::chrono::steady_clock::now() + group_->deadline();
};

class LocalCommunicator : public RequestCommunicator {
 public:
  LocalCommunicator(std::shared_ptr<LocalGroup> group, int rank)
      : group_(std::move(group)), rank_(rank) {}
  ~LocalCommunicator() override { group_->Leave(rank_); }
  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  Device device() const override { return Device::kCpu; }
  const char* backend() const override { return "local"; }
  void Abort(const std::string& reason) override { group_->Abort(reason); }
  std::shared_ptr<void> Allocate(std::size_t bytes) override { return AllocateAligned(bytes); }

 protected:
  Ticket Submit(Request request) override {
    auto operation = group_->Post(rank_, std::move(request));
    return Ticket(std::make_shared<LocalWork>(group_, rank_, std::move(operation)));
  }

 private:
  std::shared_ptr<LocalGroup> group_;
  int rank_;
};

}  // namespace

std::unique_ptr<Communicator> MakeLocalCommunicator(std::shared_ptr<LocalGroup> group, int rank) {
  return std::make_unique<LocalCommunicator>(std::move(group), rank);
}

}  // namespace vesalius::dist
