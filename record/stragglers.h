// Which ranks are slow, by the phases in which a rank waits for nobody else: waiting in a
// collective is a symptom of others.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "record/events.h"

namespace vesalius::record {

// A phase of a rank over its newest recorded steps.
struct PhaseScore {
  std::string phase, host;
  int rank = 0;
  double seconds = 0;  // median
  double score = 1;    // median over the ranks / this rank's; below kSlowScore: a straggler
};
inline constexpr double kSlowScore = 0.7;

// Of data, forward, backward and optimiser, by phase and rank, from the last `steps` steps whose
// spans all ranks have. Empty with fewer than two ranks or three such steps.
std::vector<PhaseScore> PhaseScores(const Events& events, std::int64_t steps = 100);

}  // namespace vesalius::record
