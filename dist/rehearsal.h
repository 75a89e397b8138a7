// A group of ranks of which only rank 0 exists: the others are taken to hold and to do the same.
// Nothing moves; what rank 0 would send is counted, collective by collective. `vesalius plan` runs
// the real training step on it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dist/communicator.h"
#include "dist/request.h"

namespace vesalius::dist {

// Collectives of one kind and name; numbers in names are left out ("gradient bucket").
struct RehearsedCalls {
  std::string name;
  Kind kind = Kind::kBarrier;
  int ranks = 1;  // of the group that makes them
  std::int64_t calls = 0;
  std::int64_t bytes_sent = 0;  // by rank 0, as Traffic counts them
};

// Not thread-safe, but Allocate() is.
class Rehearsal {
 public:
  struct State;  // of dist/rehearsal.cc

  Rehearsal(int nodes, int ranks_per_node);
  ~Rehearsal();

  Communicator& comm();
  // Since the last call of Reset, in the order of first use.
  std::vector<RehearsedCalls> calls() const;
  void Reset();
  // What Allocate() has handed out and not got back.
  std::int64_t allocated_bytes() const;

 private:
  std::shared_ptr<State> state_;
  std::unique_ptr<Communicator> comm_;
};

}  // namespace vesalius::dist
