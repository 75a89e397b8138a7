// `vesalius launch`
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "base/error.h"
#include "base/hash.h"
#include "base/host.h"
#include "launch/agent/agent.h"
#include "launch/cli.h"
#include "launch/command.h"
#include "launch/flags.h"

namespace vesalius::launch {
namespace {

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string Self() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

// The run's folder in the words of `pretrain`, which are read as the ranks will read them.
std::string RunOf(const std::vector<std::string>& words) {
  Require(!words.empty() && words[0] == "pretrain", ExitCode::kUsage,
          "launch wants the training after two dashes: launch --ranks 2 -- pretrain ...");
  ParseArguments(PretrainCommand(), {words.begin() + 1, words.end()});
  Require(FLAGS_local_ranks == 0, ExitCode::kUsage,
          "launch starts the ranks itself: give their number with launch --ranks ",
          FLAGS_local_ranks, ", and no --local-ranks to pretrain");
  return FLAGS_run;
}

LaunchOptions OptionsOf(const Arguments& arguments) {
  LaunchOptions options;
  options.run = RunOf(arguments.positional);
  options.ranks = FLAGS_ranks;
  options.nodes = FLAGS_nodes;
  options.spares = FLAGS_spares;
  Require(options.nodes >= 1 && options.spares >= 0 && options.ranks >= 1 &&
              options.ranks % options.nodes == 0,
          ExitCode::kUsage, "--ranks ", options.ranks, " cannot be spread evenly over --nodes ",
          options.nodes);
  Require(FLAGS_node >= 0 && FLAGS_node < options.nodes + options.spares, ExitCode::kUsage,
          "--node ", FLAGS_node, " is not one of --nodes ", options.nodes, " and --spares ",
          options.spares, ", which are numbered from 0");
  options.deadlines = arguments.repeated.at("deadline");
  options.command.words = {Self()};
  options.command.words.insert(options.command.words.end(), arguments.positional.begin(),
                               arguments.positional.end());
  options.command.gpus = FLAGS_device != "cpu";
  const std::string job = Environment("SLURM_JOB_ID"), node = Environment("SLURMD_NODENAME");
  const bool slurm = !job.empty() && !node.empty();
  options.command.starter = FLAGS_no_mpi ? Starter::kPlain
                            : slurm      ? Starter::kSrun
                                         : Starter::kMpirun;
  if (slurm) {
    options.number = std::atoi(Environment("SLURM_PROCID").c_str());
    options.node = node;
    options.key = StrCat(job, ".", Environment("SLURM_RESTART_COUNT"));
  } else {
    options.number = FLAGS_node;
    options.key = Environment("VESALIUS_LAUNCH_KEY");
    options.node = options.key.empty() ? HostName() : StrCat("node", options.number);
  }
  return options;
}

volatile std::sig_atomic_t g_signal = 0;
void OnSignal(int signal) { g_signal = signal; }

// One agent a node, all on this machine. The first one's end is the end.
ExitCode SimulateNodes(const Arguments& arguments, const LaunchOptions& options) {
  std::random_device entropy;
  const std::map<std::string, std::string> environment = {
      {"VESALIUS_LOCAL_NODES", "1"},
      {"VESALIUS_LAUNCH_KEY", Hex64(static_cast<std::uint64_t>(entropy()) << 32 | entropy())}};
  for (const int signal : {SIGTERM, SIGINT, SIGUSR2}) std::signal(signal, OnSignal);
  if (std::signal(SIGHUP, OnSignal) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);  // under nohup
  std::vector<std::unique_ptr<Process>> agents;
  for (int node = 0; node < options.nodes + options.spares; ++node) {
    std::vector<std::string> words = {Self(),
                                      "launch",
                                      StrCat("--ranks=", options.ranks),
                                      StrCat("--nodes=", options.nodes),
                                      StrCat("--spares=", options.spares),
                                      StrCat("--node=", node)};
    if (FLAGS_no_mpi) words.push_back("--no-mpi");
    for (const std::string& deadline : options.deadlines) words.push_back("--deadline=" + deadline);
    words.push_back("--");
    words.insert(words.end(), arguments.positional.begin(), arguments.positional.end());
    agents.push_back(Process::Start(words, environment, SIGKILL));
  }
  const auto running = [&] {
    int count = 0;
    for (const auto& agent : agents) count += agent->End() ? 0 : 1;
    return count;
  };
  while (running() > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (const int signal = g_signal; signal != 0)
      for (const auto& agent : agents) agent->Signal(signal);
    g_signal = 0;
  }
  const ProcessEnd end = *agents[0]->End();
  return end.signal > 0 ? ExitCode::kPeerLost : static_cast<ExitCode>(end.code);
}

ExitCode Run(const Arguments& arguments) {
  const LaunchOptions options = OptionsOf(arguments);
  if (FLAGS_local) return SimulateNodes(arguments, options);
  Require(options.nodes + options.spares == 1 || options.command.starter != Starter::kMpirun ||
              !options.key.empty(),
          ExitCode::kConfig,
          "several nodes want a Slurm allocation, or --no-mpi and an agent started on each by hand "
          "(--node K), or --local to try them on this machine");
  return RunAgent(options);
}

}  // namespace

Command LaunchCommand() {
  return {"launch",
          "starts a training, watches its ranks, and starts it again when something fails",
          "-- pretrain ...",
          "d=$(mktemp -d)\n"
          "vesalius phantom --out $d/phantom --samples 200\n"
          "vesalius launch --ranks 2 --no-mpi -- pretrain --preset demo --data $d/phantom --run "
          "$d/run --set trainer.steps=20",
          {{"ranks", "N", "processes that train, over all nodes"},
           {"nodes", "N", "nodes that they are spread over, evenly"},
           {"spares", "N", "nodes more that stand by for one that fails"},
           {"no-mpi", "",
            "ranks are plain processes; without it mpirun or, in a job, srun starts them"},
           {"deadline", "SECTION=SECONDS",
            "longest time in a section, instead of what is learned: step=60", Flag::kRepeated},
           {"node", "K", "the number of this node, from 0, where no Slurm tells it"},
           {"local", "", "all nodes on this machine, to try them"}},
          Run};
}

}  // namespace vesalius::launch
