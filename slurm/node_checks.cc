#include "slurm/node_checks.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <hdf5.h>
#include <mpi.h>
#include <netdb.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>

#include "base/command.h"
#include "base/error.h"
#include "base/file.h"
#include "base/host.h"
#include "base/open_files.h"

namespace vesalius::slurm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

double Milliseconds(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

std::string LimitText(rlim_t limit) { return limit == RLIM_INFINITY ? "unlimited" : StrCat(limit); }

rlim_t SoftLimit(decltype(RLIMIT_NOFILE) which) {
  rlimit limit{};
  ::getrlimit(which, &limit);
  return limit.rlim_cur;
}

bool HasGpu() { return Exists("/dev/nvidia0"); }

Findings Limits() {
  Findings findings;
  const rlim_t files = SoftLimit(RLIMIT_NOFILE), locked = SoftLimit(RLIMIT_MEMLOCK),
               core = SoftLimit(RLIMIT_CORE);
  const bool many = files >= kOpenFilesWanted;
  findings.push_back(
      {many ? Finding::kOk : Finding::kBad, "open files", LimitText(files),
       many ? ""
            : StrCat("the hard limit (`ulimit -Hn`) is the admin's: ask for ", kOpenFilesWanted)});
  const bool enough = locked == RLIM_INFINITY || !HasGpu();
  findings.push_back(
      {enough ? Finding::kOk : Finding::kNote, "locked memory",
       locked == RLIM_INFINITY ? "unlimited" : HumanBytes(locked),
       enough ? ""
              : "GPU transfers and InfiniBand want `ulimit -l unlimited`; under Slurm the limit of "
                "slurmd counts (PropagateResourceLimitsExcept=MEMLOCK)"});
  findings.push_back({Finding::kOk, "core files", LimitText(core)});
  return findings;
}

Finding Room(const std::string& subject, const std::string& path, std::uint64_t wanted,
             const std::string& advice) {
  struct statvfs status {};
  if (::statvfs(path.c_str(), &status) != 0)
    return {Finding::kBad, subject, StrCat(path, ": ", std::strerror(errno)), advice};
  const std::uint64_t free = static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
  const bool good = free >= wanted;
  return {good ? Finding::kOk : Finding::kNote, subject,
          StrCat(HumanBytes(free), " free in ", path), good ? "" : advice};
}

// One small file as a checkpoint's manifest is written: temporary name, sync, rename.
Finding Writing(const std::string& folder) {
  const std::string path = StrCat(folder, "/.vesalius-doctor-", ::getpid());
  try {
    const auto start = Clock::now();
    WriteFileAtomic(path, std::string(4096, 'x'));
    const double ms = Milliseconds(start);
    RemoveTree(path);
    return {ms < 1000 ? Finding::kOk : Finding::kNote, "folder",
            StrCat("write, sync and rename in ", folder, ": ", Fixed(ms, 1), " ms"),
            ms < 1000 ? "" : "each save waits for this: use a faster file system for runs"};
  } catch (const Error& error) {
    return {Finding::kBad, "folder", error.what(), "runs need a folder that this user can write"};
  }
}

Finding Libraries() {
  char version[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  MPI_Get_library_version(version, &length);
  return {Finding::kOk, "MPI", std::string(version, std::strcspn(version, ",\n"))};
}

Finding Hdf5() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  const char* locking = std::getenv("HDF5_USE_FILE_LOCKING");
  return {Finding::kOk, "HDF5",
          StrCat(major, ".", minor, ".", release, ", HDF5_USE_FILE_LOCKING ",
                 locking == nullptr ? "not set" : locking)};
}

Findings Gpus() {
  if (!HasGpu()) return {{Finding::kOk, "GPUs", "none here; CPU training"}};
  Findings findings;
  const CommandResult list = RunCommand({"nvidia-smi", "-L"}, std::chrono::seconds(60));
  findings.push_back({list.ok() ? Finding::kOk : Finding::kBad, "GPUs",
                      list.ok() ? StrCat(Split(Trim(list.output), '\n').size(), " answer")
                                : "nvidia-smi fails: " + std::string(Trim(list.errors)),
                      list.ok() ? "" : "a GPU or its driver is broken: keep off this node"});
  int version = 0;
  void* nccl = ::dlopen("libnccl.so.2", RTLD_LAZY | RTLD_LOCAL);
  using GetVersion = int (*)(int*);
  const auto get =
      nccl == nullptr ? nullptr : reinterpret_cast<GetVersion>(::dlsym(nccl, "ncclGetVersion"));
  if (get != nullptr) get(&version);
  findings.push_back({version > 0 ? Finding::kOk : Finding::kNote, "NCCL",
                      version > 0 ? StrCat("version code ", version) : "not in the library path",
                      version > 0 ? "" : "fine if the program brings its own: ./run build"});
  return findings;
}

}  // namespace

std::string OwnAddress() {
  addrinfo hints{}, *list = nullptr;
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  if (::getaddrinfo(HostName().c_str(), nullptr, &hints, &list) != 0 || list == nullptr) return "";
  char text[INET_ADDRSTRLEN] = {};
  ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(list->ai_addr)->sin_addr, text,
              sizeof(text));
  ::freeaddrinfo(list);
  return text;
}

bool IsLoopback(const std::string& address) { return address.starts_with("127."); }

Findings CheckNode(const std::string& folder) {
  Findings findings = Limits();
  findings.push_back(Room("shared memory", "/dev/shm", kGiB,
                          "ranks of a node meet there: give the container a larger /dev/shm "
                          "(--shm-size, or bind the host's)"));
  findings.push_back(Room("disk", folder, kGiB, "checkpoints need several times the model's size"));
  findings.push_back(Writing(folder));
  findings.push_back(Libraries());
  findings.push_back(Hdf5());
  for (Finding& finding : Gpus()) findings.push_back(std::move(finding));
  return findings;
}

Findings CheckSlurm() {
  if (!HaveProgram("srun")) return {{Finding::kOk, "Slurm", "not here"}};
  Findings findings;
  const auto limit = std::chrono::seconds(30);
  const CommandResult config = RunCommand({"scontrol", "show", "config"}, limit);
  if (!config.ok())
    return {{Finding::kBad, "Slurm", "scontrol: " + std::string(Trim(config.errors)),
             "the controller does not answer"}};
  const auto value = [&](const std::string& key) -> std::string {
    for (const std::string& line : Split(config.output, '\n'))
      if (line.starts_with(key + " ")) return std::string(Trim(line.substr(line.find('=') + 1)));
    return "";
  };
  findings.push_back({Finding::kOk, "Slurm", value("SLURM_VERSION")});
  const CommandResult kinds = RunCommand({"srun", "--mpi=list"}, limit);
  const bool pmix = (kinds.output + kinds.errors).find("pmix") != std::string::npos;
  findings.push_back({pmix ? Finding::kOk : Finding::kBad, "PMIx",
                      pmix ? "srun --mpi=pmix is there" : "srun has no pmix plugin",
                      pmix ? "" : "ask the admin for Slurm's PMIx plugin (slurm-*-pmix)"});
  const char* own = std::getenv("SLURM_PMIX_FENCE");
  const std::string fence = own != nullptr ? own : value("PMIxCollFence");
  const bool ring = fence == "ring";
  findings.push_back({ring ? Finding::kOk : Finding::kNote, "PMIx fence",
                      fence.empty() || fence == "(null)" ? "mixed (the default)" : fence,
                      ring ? ""
                           : "in Slurm 22.05 a few launches in a hundred fail with the tree fence; "
                             "our batch script sets SLURM_PMIX_FENCE=ring, an admin PMIxCollFence="
                             "ring in mpi.conf"});
  const int kill_wait = std::atoi(value("KillWait").c_str());
  findings.push_back({kill_wait >= 30 ? Finding::kOk : Finding::kNote, "KillWait",
                      StrCat(kill_wait, " s"),
                      kill_wait >= 30 ? "" : "a save after scancel has to fit in it"});
  const bool user_signal =
      value("SlurmctldParameters").find("preempt_send_user_signal") != std::string::npos;
  if (const std::string preempt = value("PreemptType"); preempt != "preempt/none")
    findings.push_back({user_signal ? Finding::kOk : Finding::kNote, "preemption", preempt,
                        user_signal ? ""
                                    : "without preempt_send_user_signal a preempted job has only "
                                      "KillWait for its save"});
  return findings;
}

}  // namespace vesalius::slurm
