// Where the ranks of one node meet: a page of shared memory with a counter a rank, a header of what
// each rank calls, staging space, and the failure that ends them all. Waiting ranks sleep on a
// futex, so that they take no time from ranks that compute, and wake within microseconds.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "dist/node/shared_memory.h"
#include "dist/peers.h"
#include "dist/request.h"

namespace vesalius::dist {

// Every rank's text, by rank; collective. How a group's ranks find each other's memory.
using ExchangeTexts =
    std::function<std::vector<std::string>(const std::string& name, const std::string& mine)>;

class NodeGroup {
 public:
  static constexpr std::size_t kStage = 256 << 10;  // bytes that a rank stages in one step

  // Collective over `members`, all of this node; `peers` describes them, by rank. With a `whole`
  // that it is a part of, the two fail together.
  // Error(kNodeUnhealthy) on all ranks where the memory cannot be had.
  NodeGroup(const Members& members, const std::vector<Peer>& peers, const ExchangeTexts& exchange,
            std::shared_ptr<NodeGroup> whole);
  // For ranks that take no part in a group that others make by an exchange of all.
  static void StayOut(const ExchangeTexts& exchange);

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(names_.size()); }
  int name(int r) const { return names_[r]; }  // of rank r in messages

  // Where a rank's data lies for others to read in place; serial 0: nowhere.
  struct Location {
    std::uint64_t serial = 0;  // of the allocation, unique in its rank
    std::uint64_t offset = 0;
    char address[48] = {};  // of the memory
  };

  struct Limit {
    std::chrono::steady_clock::time_point deadline;
    std::chrono::milliseconds duration;
  };

  // One meeting: announces `header` and `where`, and returns when all ranks have. Then, until this
  // rank's next but one step, the others' headers, locations and stages of this step may be read.
  // Throws Error(kPeerLost), or Error(kBug) when headers differ. Launch thread only.
  void Step(const Request& request, const Header& header, const Location& where,
            const Limit& limit);
  // Of the step to come (to write) and of the last one (to read).
  char* NextStage() const { return Stage(rank_, step_ + 1); }
  const char* StageOf(int r) const { return Stage(r, step_); }
  const Location& LocationOf(int r) const;
  const Header& HeaderOf(int r) const;

  // When the memory of another rank has gone, as `error` says: waits a moment for the sign that its
  // process has died, then throws Error(kPeerLost) that names it. Launch thread only.
  [[noreturn]] void FailOnLost(const Request& request, const Error& error);

  // Any thread, any time: ends this and every later step on all ranks. The first failure stays.
  void Fail(ExitCode code, const std::string& message);
  bool failed() const;
  // Throws when the group has failed.
  void RequireAlive(const Request& request) const;

 private:
  struct Slot;
  struct Control;
  Control& control() const;
  Control& root() const;  // of the whole family: holds its failure
  Slot& SlotOf(int r, std::uint64_t step) const;
  char* Stage(int r, std::uint64_t step) const;
  bool AllArrived() const;
  void Sleep() const;
  void WaitForAll(const Request& request, const Limit& limit);
  std::string DescribeAbsent(const Limit& limit) const;  // "" when none is
  [[noreturn]] void FailHere(ExitCode code, const Request& request, const std::string& reason);

  const int rank_;
  const std::vector<int> names_;
  const std::shared_ptr<NodeGroup> whole_;
  const bool own_cores_;  // there are as many cores as ranks
  SharedMemory memory_;
  std::unique_ptr<PeerWatch> watch_;
  std::uint64_t step_ = 0;
};

}  // namespace vesalius::dist
