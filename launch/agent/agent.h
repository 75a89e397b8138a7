// `vesalius launch`: one agent on each node. The first decides (launch/agent/coordinator.h) and
// works; the others work, and are told over the network (launch/agent/meeting.h).
#pragma once

#include <string>
#include <vector>

#include "base/exit_codes.h"
#include "launch/agent/rank_processes.h"

namespace vesalius::launch {

struct LaunchOptions {
  int ranks = 1, nodes = 1, spares = 0;
  int number = 0;    // of this node; 0 decides
  std::string node;  // its name, as the launcher of the ranks knows it
  std::string key;   // names this launch, so that no other's agents are met
  std::string run;
  RankCommand command;
  std::vector<std::string> deadlines;  // SECTION=SECONDS
};

// Until the training has ended or is given up; then its exit code. TERM, INT and USR2 ask the ranks
// for a checkpoint and an end.
ExitCode RunAgent(const LaunchOptions& options);

}  // namespace vesalius::launch
