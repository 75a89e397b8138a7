#include "bench/under_mpi.h"

#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace vesalius::bench {
namespace {

// Replaces this process by mpirun with `ranks` of it.
[[noreturn]] void StartAgain(int argc, char** argv, int ranks) {
  ::setenv("OMPI_MCA_mpi_yield_when_idle", "0", 1);
  if (::geteuid() == 0) {
    ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  }
  std::vector<std::string> words = {"mpirun", "--oversubscribe",    "--bind-to", "none",
                                    "-n",     std::to_string(ranks)};
  words.insert(words.end(), argv, argv + argc);
  std::vector<char*> line;
  for (std::string& word : words) line.push_back(word.data());
  line.push_back(nullptr);
  ::execvp(line[0], line.data());
  std::perror("mpirun");
  std::exit(static_cast<int>(ExitCode::kInputMissing));
}

// To the k-th core that this process may use, before any other thread exists.
void PinToOneCore(int k) {
  cpu_set_t allowed, one;
  CPU_ZERO(&one);
  Require(sched_getaffinity(0, sizeof(allowed), &allowed) == 0, ExitCode::kNodeUnhealthy,
          "sched_getaffinity failed");
  int left = k % CPU_COUNT(&allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed) && left-- == 0) CPU_SET(cpu, &one);
  }
  sched_setaffinity(0, sizeof(one), &one);
}

}  // namespace

int MainUnderMpi(int argc, char** argv, int ranks,
                 const std::function<void(dist::Bootstrap&, Report*)>& body) {
  const char* local_rank = std::getenv("OMPI_COMM_WORLD_LOCAL_RANK");
  if (local_rank == nullptr) StartAgain(argc, argv, ranks);
  log::Init(argv[0]);
  try {
    const bool json = argc == 3 && std::string(argv[1]) == "--json";
    Require(json || argc == 1, ExitCode::kUsage, "usage: ", argv[0], " [--json FILE]");
    PinToOneCore(std::atoi(local_rank));
    const auto bootstrap = dist::MakeBootstrap();
    Report report;
    body(*bootstrap, bootstrap->rank() == 0 ? &report : nullptr);
    if (json && bootstrap->rank() == 0) WriteFileAtomic(argv[2], report.Json());
    return 0;
  } catch (const Error& error) {
    log::Failure(error.what());
    std::fflush(nullptr);
    _exit(static_cast<int>(error.code()));
  }
}

}  // namespace vesalius::bench
