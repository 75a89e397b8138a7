#include "dist/bootstrap.h"

#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/error.h"
#include "dist/bootstrap_kinds.h"

namespace vesalius::dist {
namespace {

constexpr int kMaxLocalRanks = 1024;

const char* Environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

// The value as a number >= 0; 0 when it is unset.
int Number(const char* name) {
  const char* text = Environment(name);
  if (text == nullptr) return 0;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  Require(*end == '\0' && value >= 0 && value < (1 << 20), ExitCode::kConfig, name, "=", text,
          " is not a number of ranks");
  return static_cast<int>(value);
}

bool UnderMpi() { return Environment("OMPI_COMM_WORLD_SIZE") || Environment("PMIX_RANK"); }
bool UnderPmi() { return Environment("PMI_RANK") && Environment("SLURM_JOB_ID"); }

std::unique_ptr<Bootstrap> FromStore() {
  for (const char* name : {"VESALIUS_RANK", "VESALIUS_SIZE"}) {
    Require(Environment(name) != nullptr, ExitCode::kConfig, "VESALIUS_STORE is set but ", name,
            " is not; set VESALIUS_STORE (a fresh folder that all ranks see), VESALIUS_RANK and "
            "VESALIUS_SIZE");
  }
  return MakeFileBootstrap(Environment("VESALIUS_STORE"), Number("VESALIUS_RANK"),
                           Number("VESALIUS_SIZE"), CommunicatorOptions{}.deadline);
}

// The error to report for all ranks: the first cause, not the loss of a peer that follows from it.
class FirstError {
 public:
  void Add(std::exception_ptr error, bool is_consequence) {
    std::lock_guard lock(mutex_);
    if (!error_ || (is_consequence_ && !is_consequence)) {
      error_ = error;
      is_consequence_ = is_consequence;
    }
  }
  void Rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr error_;
  bool is_consequence_ = false;
};

}  // namespace

std::unique_ptr<Bootstrap> MakeBootstrap() {
  if (UnderMpi()) {
    const int size = Number("OMPI_COMM_WORLD_SIZE");
    return MakeMpiBootstrap(size > 0 ? size : Number("SLURM_STEP_NUM_TASKS"));
  }
  if (Environment("VESALIUS_STORE")) return FromStore();
  if (UnderPmi()) return MakeMpiBootstrap(Number("SLURM_STEP_NUM_TASKS"));
  Require(Number("SLURM_STEP_NUM_TASKS") <= 1 || !Environment("SLURM_PROCID"), ExitCode::kConfig,
          "srun started ", Number("SLURM_STEP_NUM_TASKS"),
          " tasks but gave them no way to meet; start with srun --mpi=pmix, or set VESALIUS_STORE, "
          "VESALIUS_RANK and VESALIUS_SIZE");
  return MakeLocalBootstrap(MakeLocalWorld(1), 0);
}

std::string OnLead(Bootstrap& bootstrap, std::string_view name,
                   const std::function<std::string()>& body) {
  std::string mine;
  if (bootstrap.rank() == 0) {
    try {
      mine = "0:" + body();
    } catch (const Error& error) {
      mine = StrCat(static_cast<int>(error.code()), ":", error.what());
    }
  }
  const std::string outcome = bootstrap.Exchange(name, mine)[0];
  const std::size_t colon = outcome.find(':');
  const int code = std::stoi(outcome.substr(0, colon));
  const bool tells = bootstrap.rank() == 0 || std::string_view(bootstrap.kind()) == "local";
  if (code != 0) Fail(static_cast<ExitCode>(code), tells ? outcome.substr(colon + 1) : "");
  return outcome.substr(colon + 1);
}

int LaunchedRank() {
  for (const char* name :
       {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "VESALIUS_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (Environment(name) != nullptr) return Number(name);
  return 0;
}

void RunLocalRanks(int ranks, const std::function<void(Bootstrap&)>& body) {
  Require(ranks >= 1 && ranks <= kMaxLocalRanks, ExitCode::kConfig,
          "the number of local ranks must be 1 to ", kMaxLocalRanks, ", not ", ranks);
  const std::shared_ptr<LocalWorld> world = MakeLocalWorld(ranks);
  FirstError first;
  const auto run = [&](int rank) {
    try {
      const auto bootstrap = MakeLocalBootstrap(world, rank);
      body(*bootstrap);
    } catch (const std::exception& error) {
      const auto* ours = dynamic_cast<const Error*>(&error);
      first.Add(std::current_exception(), ours && ours->code() == ExitCode::kPeerLost);
      AbortLocalWorld(*world, StrCat("rank ", rank, " failed: ", error.what()));
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(ranks);
  try {
    for (int rank = 0; rank < ranks; ++rank) threads.emplace_back(run, rank);
  } catch (const std::system_error& error) {
    const std::string reason = StrCat("no thread can be started for rank ", threads.size(), " of ",
                                      ranks, ": ", error.what(), "; start fewer local ranks");
    first.Add(std::make_exception_ptr(Error(ExitCode::kConfig, reason)), false);
    AbortLocalWorld(*world, reason);
  }
  for (std::thread& thread : threads) thread.join();
  first.Rethrow();
}

std::string WidenAffinity(int threads_wanted) {
  cpu_set_t bound;
  if (sched_getaffinity(0, sizeof(bound), &bound) != 0 || CPU_COUNT(&bound) != 1) return "";
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  if (online <= 1) return "";
  if (!UnderMpi() && !UnderPmi()) {
    if (threads_wanted <= 1) return "";
    return StrCat("this process may use one core only, but ", threads_wanted,
                  " threads are wanted; was it started by taskset?");
  }
  cpu_set_t all;
  CPU_ZERO(&all);
  for (long cpu = 0; cpu < sysconf(_SC_NPROCESSORS_CONF) && cpu < CPU_SETSIZE; ++cpu) {
    CPU_SET(cpu, &all);
  }
  std::error_code ignored;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", ignored)) {
    sched_setaffinity(std::atoi(task.path().filename().c_str()), sizeof(all), &all);
  }
  if (sched_getaffinity(0, sizeof(bound), &bound) == 0 && CPU_COUNT(&bound) > 1) {
    return StrCat("the launcher bound this rank to one core; it may now use ", CPU_COUNT(&bound),
                  " (mpirun --bind-to none leaves ranks free)");
  }
  return "the launcher bound this rank to one core, and all its threads share it; start with "
         "mpirun "
         "--bind-to none, or srun --cpus-per-task";
}

}  // namespace vesalius::dist
