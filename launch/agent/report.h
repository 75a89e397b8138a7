// What agents tell each other, ten times a second: a member reports what it sees, the first node's
// agent answers what to do. Plain data; launch/agent/wire.cc puts it into messages. Durations are
// relative to the moment of the report, so that no clocks are compared.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/rank_page.h"

namespace vesalius::launch {

// One rank as its agent sees it.
struct RankView {
  int rank = -1;
  std::string host;
  int pid = 0;           // 0: not seen yet
  bool opened = false;   // its page is there
  bool stopped = false;  // by SIGSTOP or a tracer
  bool ended = false;    // then how:
  int signal = 0;        // > 0: by it
  int code = 0;          // else its exit code
  bool by_us = false;    // ended after its agent had sent a signal that ends processes
  double ended_for = 0;  // seconds since
  std::array<double, page::kSections> inside{};   // seconds in each section; < 0: outside
  std::array<double, page::kSections> longest{};  // seconds, of this attempt
  std::int64_t step = -1, steps = 0, committed = -1;
  std::uint64_t issued = 0, waiting = 0;  // collectives
  std::string issued_name, waiting_name;
  std::string error;
  std::array<double, page::kPhases> phases{};  // median seconds of the last steps
  std::vector<std::string> stack;              // its calls, innermost first; when asked for

  // The section it entered last; -1: none, which is called "start".
  int Section() const;
  std::string SectionName() const;
};

enum class Duty : std::uint8_t { kIdle, kPrepare, kRun, kStop, kLeave };

// What a member is to do; repeated until it changes, so that a lost answer costs nothing.
struct Order {
  int attempt = 0;
  Duty duty = Duty::kIdle;
  int first_rank = 0, ranks = 0, world = 0;  // this node's share
  bool launches = false;                     // starts the processes of its own share, or of all
  std::vector<std::string> nodes;            // the attempt's, in the order of their ranks
  std::vector<std::string> partners;         // addresses of the attempt's members, in that order
  std::string store;                         // where plain processes meet
  int generation = 0;
  bool save = false;     // ask the ranks to save and leave
  bool stacks = false;   // kStop: have the ranks say where they are first
  bool at_once = false;  // kStop: KILL without TERM before it
  int exit_code = 0;     // kLeave
};

struct Report {
  int number = 0;  // of the node in its launch; 0 decides for all
  std::string node, host, address;
  int attempt = 0;
  Duty done = Duty::kIdle;  // of `attempt`, the last duty that is carried out
  std::string unhealthy;    // why this node cannot take part; "" if it can
  std::string launcher;     // how mpirun or srun failed; "" while it lives and when it ended well
  int launcher_code = 0;
  bool save = false;  // this agent was signalled
  std::vector<RankView> ranks;
};

}  // namespace vesalius::launch
