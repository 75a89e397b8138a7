// The first node's agent decides for all: from reports to orders. A state machine over attempts
// (prepare on all nodes, run, stop on all nodes, wait, again or leave) that knows no processes and
// no network, and no clock but the one it is given, so that a jump of the wall clock is nothing to
// it. Not thread-safe.
//
// Invariant: an attempt starts only after every process of the one before is known to be gone, on
// every node that still answers and is not left out because they cannot be killed.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launch/agent/cause.h"
#include "launch/agent/deadlines.h"
#include "launch/agent/ladder.h"
#include "launch/agent/report.h"

namespace vesalius::launch {

struct CoordinatorOptions {
  int ranks = 1, nodes = 1, spares = 0;
  bool one_launcher = false;  // mpirun or srun starts all ranks, from the first node
  int generation = 0;
  std::string store;         // folder under which plain processes meet, a fresh one an attempt
  double dead_after = 5;     // seconds without a report
  double join_within = 120;  // seconds for all nodes to report first
  // Tests only: without it an attempt begins while ranks of the one before may live.
  bool agreement = true;
};

// What it tells the outside.
struct Observer {
  std::function<void(int attempt)> started = [](int) {};
  // `ranks` as they were when the cause was found.
  std::function<void(int attempt, const Cause&, const std::vector<RankView>& ranks,
                     const Decision&)>
      failed = [](int, const Cause&, const std::vector<RankView>&, const Decision&) {};
  std::function<void(const RankView&, const std::string& phase, double score)> slow =
      [](const RankView&, const std::string&, double) {};
  std::function<void(int attempt)> stepping = [](int) {};  // all ranks made a step
  std::function<void(const std::string&)> note = [](const std::string&) {};
};

class Coordinator {
 public:
  // `now` in all calls: seconds of one monotonic clock.
  Coordinator(CoordinatorOptions options, Deadlines& deadlines, Observer observer, double now);

  void Receive(const Report& report, double now);
  void Tick(double now);
  Order OrderFor(const std::string& node) const;
  // The exit code, once every node that answers was told to leave and has no ranks any more.
  std::optional<int> Done() const { return done_; }
  int attempt() const { return attempt_; }

 private:
  enum class State { kJoining, kPreparing, kRunning, kStopping, kWaiting, kLeaving };
  struct Node {
    Report report;
    double heard = 0;
    bool dropped = false;
  };

  void Begin(double now);
  void Run(double now);
  void End(const Cause& cause, double now);
  void Leave(int code, double now);
  void Decide(double now);
  bool Alive(const std::string& name, double now) const;
  bool All(Duty duty) const;  // members have done it
  std::vector<std::string> Usable(double now) const;
  std::vector<RankView> Views() const;
  std::optional<Cause> Trouble(double now) const;
  void FlagSlow(const std::vector<RankView>& ranks);
  std::string NodeOf(int rank) const;

  const CoordinatorOptions options_;
  Deadlines& deadlines_;
  const Observer observer_;
  Ladder ladder_;
  std::map<std::string, Node> nodes_;
  std::vector<std::string> members_;  // of the attempt, in the order of their numbers
  State state_ = State::kJoining;
  double since_ = 0;  // of the state
  int attempt_ = 0;
  bool save_ = false;
  bool stepped_ = false;
  std::int64_t committed_ = -1, committed_before_ = -1;
  std::int64_t began_ = -1, began_before_ = -1;  // the step that an attempt went on from
  std::optional<Cause> cause_;
  std::vector<RankView> at_cause_;
  Decision decision_;
  double launcher_failed_ = 0;                       // since when; moves along while it is well
  std::int64_t scored_steps_ = 0;                    // when slow ranks were looked for last
  std::map<std::pair<int, int>, int> slow_windows_;  // by rank and phase, in a row
  int leave_code_ = 0;
  std::optional<int> done_;
};

}  // namespace vesalius::launch
