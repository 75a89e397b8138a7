// How a rank learns who it is. Nothing else in the tree calls MPI_Init or reads a launcher's
// environment. The order: mpirun or srun (MPI/PMIx) when their environment is there; a file store
// when VESALIUS_STORE, VESALIUS_RANK and VESALIUS_SIZE are set; else one rank alone.
//
// Leaving. In good order: communicators go first, then the bootstrap, whose destructor finalises
// MPI. After a failure, or when an exception destroys it, the bootstrap leaves MPI as it is, since
// MPI_Finalize would wait for ranks that never come; main() then ends the process by _exit().
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dist/communicator.h"

namespace vesalius::dist {

class Bootstrap {
 public:
  virtual ~Bootstrap() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual int node_rank() const = 0;  // rank among those of this node
  virtual int node_size() const = 0;
  virtual const char* kind() const = 0;  // "single", "local", "mpi", "file"
  // Every rank's bytes, by rank. For set-up only (ids, host names, config hashes).
  virtual std::vector<std::string> Exchange(std::string_view name, std::string_view mine) = 0;
  // The communicator that suits `device`: mpi or local on CPU, nccl from the plug-in on CUDA.
  virtual std::unique_ptr<Communicator> MakeCommunicator(Device device,
                                                         const CommunicatorOptions& options) = 0;
};

// Reads the environment as said above; initialises MPI where it applies. Errors name what is
// missing.
std::unique_ptr<Bootstrap> MakeBootstrap();

// Collective: `body` on rank 0; its outcome, a string or an error, on every rank. Of several
// processes only rank 0's error has a text, so that the screen shows it once.
std::string OnLead(Bootstrap& bootstrap, std::string_view name,
                   const std::function<std::string()>& body);

// The rank that the launcher's environment gives this process, before anything is initialised; 0
// without one.
int LaunchedRank();

// N ranks as threads of this process: `body(bootstrap)` runs once on each; returns when all have
// returned. When one throws, the others' collectives are aborted, and the first error that is not
// the mere loss of a peer is rethrown. Error(kConfig) when N is not 1 to 1024, or when a thread
// cannot be started.
void RunLocalRanks(int ranks, const std::function<void(Bootstrap&)>& body);

// Widens this process's affinity when it is bound to a single core but its node has more (Open
// MPI's default for one or two ranks); a binding that no launcher made is left alone. Returns a
// sentence that says what was done or should be, or "".
std::string WidenAffinity(int threads_wanted);

}  // namespace vesalius::dist
