// Benchmarks of ranks that are processes: the program starts itself again under mpirun, one core a
// rank, with Open MPI as it is fastest there (its waits poll, they do not yield).
#pragma once

#include <functional>

#include "bench/harness.h"
#include "dist/bootstrap.h"

namespace vesalius::bench {

// The main() of such a benchmark. `body` runs on every rank; the report is rank 0's, null on the
// others.
int MainUnderMpi(int argc, char** argv, int ranks,
                 const std::function<void(dist::Bootstrap&, Report*)>& body);

}  // namespace vesalius::bench
