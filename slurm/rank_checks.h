// What ranks find out together: names and addresses, what is wrong on any node, a port, clocks, and
// how long a renamed file of one rank stays invisible to the others.
#pragma once

#include <string>

#include "slurm/finding.h"

namespace vesalius::slurm {

// Collective: every rank of an MPI launch calls it. Rank 0 gets the findings, the others none.
// `folder` is where runs are kept; all ranks should see it. Bounded in time.
Findings CheckRanks(const std::string& folder);

// Starts `program` doctor --probe three times on the ranks of this allocation (srun --mpi=pmix), or
// on two ranks here (mpirun): what they found the first time, and how many launches failed.
Findings LaunchRankChecks(const std::string& program, const std::string& folder);

}  // namespace vesalius::slurm
