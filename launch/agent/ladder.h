// What follows the end of an attempt: go on with new processes, without a node, or leave with an
// exit code. Knows the attempts of one launch. Pure; not thread-safe.
#pragma once

#include <map>
#include <set>
#include <string>

#include "launch/agent/cause.h"

namespace vesalius::launch {

struct AttemptEnd {
  Cause cause;
  bool stepped = false;    // at least one step was made
  bool committed = false;  // at least one checkpoint was
  bool further = false;    // it began behind where others did: the one before had saved in memory
};

struct Decision {
  bool again = false;
  double wait = 0;             // seconds before the next attempt
  std::string drop_node = {};  // not to be used again; "": none
  int code = 0;                // when not again
  std::string action = {};     // for people: "restarting in the same allocation"
};

class Ladder {
 public:
  Decision After(const AttemptEnd& end, int spares);

 private:
  Decision Leave(int code, const std::string& why) const;
  Decision Without(const std::string& node, int spares, int code);

  int without_commit_ = 0;  // attempts in a row
  int without_step_ = 0;
  int launch_failures_ = 0;
  std::string last_node_;  // of the last cause
  std::set<std::string> data_errors_;
};

}  // namespace vesalius::launch
