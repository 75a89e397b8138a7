// Where the time of a run went, from its events alone: every instant from the first sign of the run
// (queued, launched or started) to the last belongs to exactly one part, so that the parts add up
// to the whole.
//
//   productive  steps whose effect is in the run as it stands
//   redone      steps that were lost or undone, so that they ran again
//   stall       the loop waited for a save
//   eval        evaluations
//   init, load  starting processes up to the loop; of that, reading the checkpoint
//   detect      from the last progress of an attempt until its supervisor knew why
//   restart     from then until the next attempt's processes start
//   queue       waiting for nodes
//   other       processes lived and did none of that: between steps, leaving
//   idle        nobody ran the run or waited for it
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "record/events.h"

namespace vesalius::record {

struct Goodput {
  double begin = 0, end = 0;                          // seconds since 1970
  std::vector<std::pair<std::string, double>> parts;  // seconds, in the order above
  std::int64_t steps = 0, redone_steps = 0;           // that ran and count; that ran in vain
  int attempts = 0;
  std::int64_t dropped = 0;  // events that are missing

  double wall() const { return end - begin; }
  double part(const std::string& name) const;
};

// Error(kInvalidData) when no attempt has a beginning, or the parts do not add up to 100 +- 0.1 %.
Goodput AccountFor(const Events& events);

}  // namespace vesalius::record
