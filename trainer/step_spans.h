// What each rank tells of its steps: the phases of every one on its page (base/rank_page.h); in its
// events spans of the phases of every N-th step and of each slow one (longer than twice the
// median), from rank 0 also every step's loss and duration.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "trainer/robust_window.h"
#include "trainer/run_record.h"

namespace vesalius::trainer {

class StepSpans {
 public:
  // `every` 0: no spans but those of slow steps.
  StepSpans(std::int64_t every, bool lead) : every_(every), lead_(lead), durations_(101) {}

  // `phases`: one after another from `start` (events::Now()), together the step.
  void Step(const StepRecord& record, double start,
            const std::vector<std::pair<std::string, double>>& phases);

 private:
  const std::int64_t every_;
  const bool lead_;
  RobustWindow durations_;
};

}  // namespace vesalius::trainer
