// `vesalius submit`
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/command.h"
#include "base/error.h"
#include "base/file.h"
#include "checkpoints/reader.h"
#include "launch/cli.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/output.h"
#include "slurm/submit.h"

namespace vesalius::launch {
namespace {

namespace fs = std::filesystem;

std::string ThisProgram() { return fs::read_symlink("/proc/self/exe").string(); }

// Checks the words of `pretrain` as its own command line would, and returns the run's folder.
std::string RunOf(const std::vector<std::string>& words) {
  Require(words[0] == "pretrain", ExitCode::kUsage, "submit starts `pretrain`, not '", words[0],
          "'; write the command after two dashes: submit ... -- pretrain ...");
  ParseArguments(PretrainCommand(), {words.begin() + 1, words.end()});
  Require(!FLAGS_check, ExitCode::kUsage, "--check needs no job: run it here");
  return fs::weakly_canonical(fs::absolute(FLAGS_run)).string();
}

// The training's own --check, so that a mistake shows now and not after hours in the queue.
void CheckTraining(const slurm::JobOptions& options) {
  std::vector<std::string> words = {ThisProgram()};
  words.insert(words.end(), options.training.begin(), options.training.end());
  words.insert(words.end(), {"--check", "--device", "cpu"});
  const CommandResult result = RunCommand(words, std::chrono::seconds(300));
  if (!result.ok())
    Fail(static_cast<ExitCode>(result.status), Trim(result.errors), " (nothing was submitted)");
}

slurm::JobOptions OptionsOf(const Arguments& arguments) {
  slurm::JobOptions options;
  options.nodes = FLAGS_nodes;
  options.ranks_per_node = FLAGS_ranks_per_node;
  options.spares = FLAGS_spares;
  options.time = FLAGS_time;
  options.partition = FLAGS_partition;
  options.account = FLAGS_account;
  options.exclude = FLAGS_exclude;
  options.margin_s = FLAGS_signal_margin;
  options.requeue = FLAGS_requeue;
  options.container = FLAGS_container;
  options.sbatch = arguments.repeated.at("sbatch");
  options.prologue = arguments.repeated.at("prologue");
  options.program = FLAGS_program.empty() ? ThisProgram() : FLAGS_program;
  options.training = arguments.positional;
  options.folder = fs::current_path().string();
  Require(options.nodes >= 1 && options.ranks_per_node >= 1 && FLAGS_generations >= 1,
          ExitCode::kUsage, "--nodes, --ranks-per-node and --generations want numbers >= 1");
  Require(options.spares >= 0 && (options.spares == 0 || options.container.empty()),
          ExitCode::kUsage, "--spares wants a number >= 0, and no --container");
  Require(options.margin_s >= 0, ExitCode::kUsage, "--signal-margin wants seconds");
  options.run = RunOf(options.training);
  const bool one_job = FLAGS_generations == 1 && !options.requeue;
  Require(one_job || checkpoints::OwnStep(options.run, FLAGS_resume).empty(), ExitCode::kUsage,
          "--resume ", FLAGS_resume,
          " is a step of the run itself: every job of the chain would go back to it; ",
          "submit one job (--generations 1), then a chain without --resume");
  return options;
}

ExitCode Run(const Arguments& arguments) {
  slurm::JobOptions options = OptionsOf(arguments);
  slurm::Prepare(&options);
  if (FLAGS_dry_run) {
    Print(slurm::RenderBatchScript(options));
    return ExitCode::kFinished;
  }
  if (options.container.empty()) CheckTraining(options);
  const auto jobs = slurm::Submit(options, options.requeue ? 1 : FLAGS_generations);
  Print(StrCat("submitted ", jobs.size(), jobs.size() == 1 ? " job: " : " jobs in a row: ",
               Join(jobs, " "), "\nscript and output: ", options.chain, "\nranks save and leave ",
               options.margin_s, " s before the time limit\nlook: vesalius watch ", options.run,
               "\nstop: touch ", options.run, "/STOP\n"));
  return ExitCode::kFinished;
}

}  // namespace

Command SubmitCommand() {
  return {
      "submit",
      "trains under Slurm: a chain of batch jobs that go on where the one before ended",
      "COMMAND...",
      "vesalius submit --nodes 2 --ranks-per-node 4 --time 12:00:00 --dry-run"
      " -- pretrain --preset demo --data phantom --run run",
      {{"nodes", "N", "nodes of the job"},
       {"ranks-per-node", "N", "ranks on each of them"},
       {"spares", "S", "further nodes in the allocation, for when one is lost"},
       {"time", "T", "time limit of one job, as sbatch takes it", Flag::kRequired},
       {"generations", "K", "jobs in a row, each of which goes on from the one before"},
       {"partition", "NAME", "the partition; left out: the site's default"},
       {"account", "NAME", "the account that is charged"},
       {"exclude", "LIST", "nodes to keep off, beside those that the run found bad"},
       {"sbatch", "OPTION", "a further option of sbatch, e.g. --sbatch=--gpus-per-node=4",
        Flag::kRepeated},
       {"prologue", "LINE", "a shell line ahead of everything, e.g. 'module load openmpi'",
        Flag::kRepeated},
       {"container", "WORDS", "what to put before the program: 'apptainer exec --nv IMAGE'"},
       {"program", "PATH", "where the nodes find vesalius; left out: where it is here"},
       {"signal-margin", "SECONDS",
        "save so long before the limit; 0: learned from the run's saves"},
       {"requeue", "", "one job that puts itself back in the queue, where chains are not allowed"},
       {"dry-run", "", "prints the batch script and submits nothing"}},
      Run};
}

}  // namespace vesalius::launch
