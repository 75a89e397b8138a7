// The first cause of an attempt's end, from what all agents see: who died first, or who keeps the
// others waiting. Pure functions of the reports and of time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launch/agent/deadlines.h"
#include "launch/agent/report.h"

namespace vesalius::launch {

struct Cause {
  enum Kind { kDied, kFailed, kHang, kNodeLost, kUnhealthy, kLaunch } kind = kDied;
  int rank = -1;  // -1: none in particular
  std::string node, host;
  std::string section;
  std::int64_t step = -1;  // done before it
  int signal = 0, code = 0;
  bool stopped = false;      // of a hang: the process is stopped
  std::string collective;    // where the others wait, or where it was last
  std::uint64_t number = 0;  // of that collective
  double seconds = 0;        // of a hang: since the section was entered
  std::string message;       // the rank's own, or the agent's

  std::string Line() const;  // for people, one line
};
const char* Name(Cause::Kind kind);

// What goes wrong in a running attempt; nothing as long as all is well, or as long as it is too
// early to say: a rank that left because another was gone is not the cause, and the other's end may
// be seen a moment later. `ranks` by rank, of the whole attempt.
std::optional<Cause> FindCause(const std::vector<RankView>& ranks, const Deadlines& deadlines);

// Whether every rank ended well (0 or 75), and with what.
std::optional<int> EndedWell(const std::vector<RankView>& ranks);

}  // namespace vesalius::launch
