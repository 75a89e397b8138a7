#include "slurm/rank_checks.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <set>
#include <thread>

#include "base/command.h"
#include "base/error.h"
#include "base/file.h"
#include "base/host.h"
#include "base/wall_clock.h"
#include "dist/bootstrap.h"
#include "slurm/node_checks.h"

namespace vesalius::slurm {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr auto kVisible = std::chrono::seconds(30);  // the longest wait for a renamed file
constexpr int kLaunches = 3;

double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

std::vector<Json> ExchangeJson(dist::Bootstrap& ranks, const std::string& name, const Json& mine) {
  std::vector<Json> all;
  for (const std::string& text : ranks.Exchange(name, mine.dump()))
    all.push_back(Json::parse(text));
  return all;
}

// The first line that says something: Open MPI draws lines of dashes around its messages.
std::string FirstWords(const std::string& text) {
  for (const std::string& line : Split(text, '\n'))
    if (std::any_of(line.begin(), line.end(), [](unsigned char c) { return std::isalpha(c); }))
      return line;
  return "no words";
}

std::string NodeName() {
  const char* node = std::getenv("SLURMD_NODENAME");
  return node != nullptr ? node : HostName();
}

Finding Names(const std::vector<Json>& all) {
  std::set<std::string> nodes, addresses;
  bool resolved = true, loopback = false;
  for (const Json& rank : all) {
    nodes.insert(rank.at("node").get<std::string>());
    const std::string address = rank.at("address");
    addresses.insert(address);
    resolved = resolved && !address.empty();
    loopback = loopback || IsLoopback(address);
  }
  const std::string found = StrCat(all.size(), " ranks on ", nodes.size(), " node(s), ",
                                   Join({addresses.begin(), addresses.end()}, " "));
  if (!resolved)
    return {Finding::kBad, "names", found + ": a host's own name does not resolve",
            "the admin should put every node into DNS or /etc/hosts"};
  if (loopback && nodes.size() > 1)
    return {Finding::kNote, "names", found + ": a host's own name is a loopback address",
            "right only when all these nodes are one machine; else remove the name from the 127.* "
            "lines of /etc/hosts"};
  return {Finding::kOk, "names", found};
}

// Rank 0 listens on a port of its own address, every other rank says a byte to it.
Finding Port(dist::Bootstrap& ranks) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  int listener = -1;
  std::string where;
  if (ranks.rank() == 0) {
    const std::string own = OwnAddress();
    ::inet_pton(AF_INET, own.empty() ? "127.0.0.1" : own.c_str(), &address.sin_addr);
    listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof(address);
    if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
        ::listen(listener, ranks.size()) == 0) {
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
      where = StrCat(own, ":", ntohs(address.sin_port));
    }
  }
  const std::string target = ranks.Exchange("doctor.port", where)[0];
  bool reached = !target.empty();
  if (ranks.rank() != 0 && reached) {
    const std::vector<std::string> parts = Split(target, ':');
    ::inet_pton(AF_INET, parts[0].c_str(), &address.sin_addr);
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(parts[1].c_str())));
    const int caller = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval limit{5, 0};  // also of connect(), on Linux
    ::setsockopt(caller, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    reached = ::connect(caller, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    ::close(caller);
  }
  std::vector<std::string> missing;
  const auto all = ExchangeJson(ranks, "doctor.reached", {{"ok", reached}, {"node", NodeName()}});
  if (listener >= 0) ::close(listener);
  for (const Json& rank : all)
    if (!rank.at("ok").get<bool>()) missing.push_back(rank.at("node"));
  if (missing.empty()) return {Finding::kOk, "ports", "every rank reaches " + target};
  return {Finding::kBad, "ports", StrCat(Join(missing, " "), " cannot reach ", target),
          "a firewall between the nodes? MPI, NCCL and the agents need high ports"};
}

Finding Clocks(dist::Bootstrap& ranks) {
  ranks.Exchange("doctor.clock.start", "");
  const auto all = ExchangeJson(ranks, "doctor.clock", {{"t", WallNow()}});
  double low = 1e300, high = -1e300;
  for (const Json& rank : all) {
    low = std::min(low, rank.at("t").get<double>());
    high = std::max(high, rank.at("t").get<double>());
  }
  const bool good = high - low < 1;
  return {good ? Finding::kOk : Finding::kNote, "clocks",
          StrCat("within ", Fixed(1e3 * (high - low), 1), " ms of each other"),
          good ? "" : "run records of the nodes will not line up: the admin should run chrony"};
}

// Rank 0 renames a file into place; the others look for it.
Finding Visibility(dist::Bootstrap& ranks, const std::string& folder) {
  const std::string id = ranks.Exchange("doctor.folder", StrCat(::getpid()))[0];
  const std::string path = StrCat(folder, "/.vesalius-doctor-shared-", id);
  double slowest = 0;
  for (int round = 0; round < 3; ++round) {
    const std::string name = StrCat(path, "-", round);
    // The others have looked in the folder before, as a waiting loader would have.
    const bool early = Exists(name);
    ranks.Exchange("doctor.rename.before", "");
    if (ranks.rank() == 0) WriteFileAtomic(name, "seen\n");
    ranks.Exchange("doctor.rename.after", early ? "early" : "");
    const auto start = Clock::now();
    bool seen = false;
    while (!(seen = Exists(name) && ReadFile(name) == "seen\n") && Clock::now() - start < kVisible)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    const double mine = seen ? Seconds(start) : -1;
    for (const std::string& text : ranks.Exchange("doctor.rename.seen", StrCat(mine))) {
      const double delay = std::atof(text.c_str());
      slowest = delay < 0 || slowest < 0 ? -1 : std::max(slowest, delay);
    }
    if (ranks.rank() == 0) RemoveTree(name);
    ranks.Exchange("doctor.rename.removed", "");
  }
  if (slowest < 0)
    return {Finding::kBad, "shared folder",
            StrCat("a file that rank 0 made in ", folder, " is not seen by all ranks"),
            "runs must lie on a file system that every node mounts"};
  const bool good = slowest < 5;
  return {good ? Finding::kOk : Finding::kNote, "shared folder",
          StrCat("a renamed file is seen by all ranks after ", Fixed(1e3 * slowest, 1), " ms"),
          good ? "" : "attribute caching (NFS actimeo): restarts take that much longer"};
}

// What is wrong on any node; else how many are fine.
Findings Nodes(dist::Bootstrap& ranks, const std::vector<Json>& all, const std::string& folder) {
  const auto first = std::find_if(all.begin(), all.end(),
                                  [](const Json& rank) { return rank.at("node") == NodeName(); });
  const bool speaks = first - all.begin() == ranks.rank();
  const std::string mine = speaks ? ToJson(CheckNode(folder)).dump() : "[]";
  Findings findings;
  std::set<std::string> gpus;
  int nodes = 0, rank = 0;
  for (const std::string& text : ranks.Exchange("doctor.nodes", mine)) {
    const std::string node = all[rank++].at("node");
    const Findings of_node = FromJson(Json::parse(text));
    nodes += of_node.empty() ? 0 : 1;
    for (Finding finding : of_node) {
      if (finding.subject == "GPUs") gpus.insert(finding.found);
      if (finding.level == Finding::kOk) continue;
      finding.subject += " on " + node;
      findings.push_back(std::move(finding));
    }
  }
  const std::string found = Join({gpus.begin(), gpus.end()}, " or ");
  if (gpus.size() > 1)
    findings.push_back({Finding::kNote, "GPUs", found, "a training wants the same on all nodes"});
  if (findings.empty())
    findings.push_back({Finding::kOk, "nodes", StrCat(nodes, " pass these checks; GPUs: ", found)});
  return findings;
}

}  // namespace

Findings CheckRanks(const std::string& folder) {
  const auto ranks = dist::MakeBootstrap();
  const auto all =
      ExchangeJson(*ranks, "doctor.names", {{"node", NodeName()}, {"address", OwnAddress()}});
  Findings findings;
  findings.push_back(Names(all));
  for (Finding& finding : Nodes(*ranks, all, folder)) findings.push_back(std::move(finding));
  findings.push_back(Port(*ranks));
  findings.push_back(Clocks(*ranks));
  findings.push_back(Visibility(*ranks, folder));
  return ranks->rank() == 0 ? findings : Findings{};
}

Findings LaunchRankChecks(const std::string& program, const std::string& folder) {
  const bool slurm = std::getenv("SLURM_JOB_ID") != nullptr && HaveProgram("srun");
  if (!slurm && !HaveProgram("mpirun"))
    return {{Finding::kNote, "launches", "neither an allocation nor mpirun is here",
             "run doctor inside an allocation: salloc -N 2 vesalius doctor --run FOLDER"}};
  std::vector<std::string> words =
      slurm ? std::vector<std::string>{"srun", "--overlap", "--mpi=pmix"}
            : std::vector<std::string>{"mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2"};
  words.insert(words.end(), {program, "doctor", "--probe", "--run", folder});
  Findings findings;
  std::string trouble;
  int good = 0;
  double slowest = 0;
  for (int launch = 0; launch < kLaunches; ++launch) {
    const auto start = Clock::now();
    const CommandResult result = RunCommand(words, std::chrono::seconds(180));
    slowest = std::max(slowest, Seconds(start));
    const Json list = Json::parse(result.output, nullptr, /*allow_exceptions=*/false);
    if (!result.ok() || !list.is_array()) {
      trouble = result.status == 124 ? "it took longer than 180 s" : FirstWords(result.errors);
      continue;
    }
    if (++good == 1) findings = FromJson(list);
  }
  findings.push_back({good == kLaunches ? Finding::kOk : Finding::kBad, "launches",
                      StrCat(good, " of ", kLaunches, " by ", words[0], ", the slowest took ",
                             Fixed(slowest, 1), " s", trouble.empty() ? "" : ": " + trouble),
                      good == kLaunches ? ""
                      : slurm ? "try SLURM_PMIX_FENCE=ring, and ask for a PMIx of MPI's version"
                              : "see the settings for Open MPI in the README"});
  return findings;
}

}  // namespace vesalius::slurm
