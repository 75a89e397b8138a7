// The backend for ranks that are threads of one process; a group of one is the single-process case.
// The last rank to arrive at a collective carries it out; the others block on a condition variable,
// so that machines with fewer cores than ranks lose nothing.
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
  LocalGroup(int size, const CommunicatorOptions& options);

  // One collective that not all ranks have finished.
  struct Operation {
    std::vector<std::optional<Request>> requests;  // by rank
    int arrived = 0;
    enum State { kOpen, kRunning, kDone } state = kOpen;
  };

  int size() const { return size_; }
  std::shared_ptr<Operation> Post(int rank, Request request);
  void Wait(int rank, Operation& operation, std::chrono::steady_clock::time_point deadline);
  // A ticket went away; aborts when its collective is unfinished, and returns once nobody uses its
  // memory.
  void Drop(int rank, Operation& operation);
  // This rank makes no further call: those who wait for it need not wait longer.
  void Leave(int rank);
  void Abort(const std::string& reason);
  std::chrono::milliseconds deadline() const { return options_.deadline; }

 private:
  void Run(Operation& operation);
  void FailLocked(ExitCode code, const std::string& message);
  void FailOnAbsentLocked(const Operation& operation);
  [[noreturn]] void ThrowLocked(const std::string& what) const;

  const int size_;
  const CommunicatorOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, std::shared_ptr<Operation>> open_;  // by sequence number
  std::vector<bool> left_;
  std::optional<Error> failure_;
};

std::unique_ptr<Communicator> MakeLocalCommunicator(std::shared_ptr<LocalGroup> group, int rank);

}  // namespace vesalius::dist
