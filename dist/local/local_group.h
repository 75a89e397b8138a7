// The backend for ranks that are threads of one process; a group of one is the single-process case.
// The last rank to arrive at a collective carries it out; the others block on a condition variable,
// so that machines with fewer cores than ranks lose nothing. Groups split from one another share
// one lock and one failure.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "dist/communicator.h"
#include "dist/request.h"

namespace vesalius::dist {

// What the ranks of one communicator share. Thread-safe.
class LocalGroup {
 public:
  // `names`: the ranks' numbers in messages.
  LocalGroup(std::vector<int> names, const CommunicatorOptions& options);

  // One collective that not all ranks have finished.
  struct Operation {
    std::vector<std::optional<Request>> requests;  // by rank
    int arrived = 0;
    enum State { kOpen, kRunning, kDone } state = kOpen;
  };

  int size() const { return static_cast<int>(names_.size()); }
  std::shared_ptr<Operation> Post(int rank, Request request);
  void Wait(int rank, Operation& operation, Clock::time_point deadline);
  // A ticket went away; aborts when its collective is unfinished, and returns once nobody uses its
  // memory.
  void Drop(int rank, Operation& operation);
  // This rank makes no further call: those who wait for it need not wait longer.
  void Leave(int rank);
  void Abort(const std::string& reason);
  std::chrono::milliseconds deadline() const { return options_.deadline; }
  // The group of the ranks that gave this colour in the number-th split.
  std::shared_ptr<LocalGroup> Part(std::uint64_t number, int color, const std::vector<int>& names);

 private:
  struct Family {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<Error> failure;
  };
  LocalGroup(std::vector<int> names, const CommunicatorOptions& options,
             std::shared_ptr<Family> family);
  void Run(Operation& operation);
  void Move(const std::vector<std::optional<Request>>& requests) const;
  void RequireSamePairs(const std::vector<std::optional<Request>>& requests) const;
  std::string DescribeAbsentLocked(const Operation& operation) const;
  void FailLocked(ExitCode code, const std::string& message);
  void FailOnAbsentLocked(const Operation& operation);
  [[noreturn]] void ThrowLocked(const std::string& what) const;

  const std::vector<int> names_;
  const CommunicatorOptions options_;
  const std::shared_ptr<Family> family_;
  std::map<std::uint64_t, std::shared_ptr<Operation>> open_;  // by sequence number
  std::vector<std::optional<Header>> last_;                   // by rank: what it called last
  std::vector<bool> left_;
  std::map<std::pair<std::uint64_t, int>, std::shared_ptr<LocalGroup>> parts_;
};

std::unique_ptr<Communicator> MakeLocalCommunicator(std::shared_ptr<LocalGroup> group,
                                                    Members members,
                                                    std::shared_ptr<TrafficMeter> whole = nullptr);

}  // namespace vesalius::dist
