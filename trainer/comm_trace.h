// What communication cost, step by step and rank by rank: the difference of the communicator's
// counters from one step to the next, gathered so that rank 0's record shows the slowest.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "dist/communicator.h"

namespace vesalius::trainer {

// Figures by rank: "seconds" communicating, "exposed" (callers blocked), "waiting" (for the last
// rank to arrive), and bytes sent in all and by kind ("bytes", "bytes.all-reduce", ...; kinds that
// no rank used are left out).
using FiguresByRank = std::vector<std::pair<std::string, std::vector<double>>>;

class CommTrace {
 public:
  explicit CommTrace(dist::Communicator& comm);

  // Collective, one small all-gather: what every rank did since the last call. That all-gather
  // itself counts in the next call's figures.
  FiguresByRank EndStep();

  // This rank's run since construction, for people: bytes a step by kind, and the shares of the
  // time that went into communication, exposure and waiting.
  std::string Summary() const;

 private:
  dist::Communicator& comm_;
  const dist::Traffic start_;
  dist::Traffic last_;
  std::int64_t steps_ = 0;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace vesalius::trainer
