// Jobs dealt to forked worker processes. A job is done whole or, when its process dies, not at all
// as far as this file knows: what it leaves on disk is the caller's business.
#pragma once

#include <cstdint>
#include <functional>

namespace vesalius::data {

// Called by a job as it gets along; cheap.
using Tick = std::function<void()>;

struct Jobs {
  std::int64_t count = 0;
  std::function<void(std::int64_t job, const Tick& tick)> run;
  std::function<void(std::int64_t ticks)> progress;  // called in the parent; may be empty
};

// Runs all jobs, each once, in ascending order of their start. With one worker in this process, and
// errors pass as they are. With more, the first error of a worker stops the others after the item
// at hand and is thrown here with its code and text; a worker that dies otherwise is
// Error(kPeerLost). Workers end when this process does.
void RunJobs(int workers, const Jobs& jobs);

}  // namespace vesalius::data
