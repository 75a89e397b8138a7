#include "slurm/script.h"

#include <cstdlib>
#include <cstring>
#include <map>

#include "base/command.h"
#include "base/error.h"
#include "base/strings.h"
#include "slurm/batch.h"

namespace vesalius::slurm {
namespace {

// Numbers between colons; a negative one for what is no number.
std::vector<int> Numbers(const std::string& text) {
  std::vector<int> numbers;
  for (const std::string& part : Split(text, ':')) {
    const bool digits = !part.empty() && part.size() < 7 &&
                        part.find_first_not_of("0123456789") == std::string::npos;
    numbers.push_back(digits ? std::atoi(part.c_str()) : -1);
  }
  return numbers;
}

// What a directive of a batch script can carry as it is: sbatch splits, unquotes and cuts the rest.
void RequirePlain(const std::string& line) {
  for (const unsigned char c : line)
    Require(c > ' ' && c != 127 && std::strchr("\"'#\\$`", c) == nullptr, ExitCode::kUsage,
            "'#SBATCH --", line, "' is read differently by sbatch: use a name without blanks, ",
            "quotes, #, $, ` and backslashes");
}

std::string Header(const JobOptions& options) {
  std::vector<std::string> lines = {
      "job-name=" + options.name,
      StrCat("nodes=", options.nodes + options.spares),
      StrCat("ntasks-per-node=", options.ranks_per_node),
      "time=" + options.time,
      StrCat("signal=B:USR2@", options.margin_s),
      "chdir=" + options.folder,
      "output=" + Replace(options.chain, "%", "%%") + "/job-%j.log",
      "open-mode=append",
      "export=ALL",
      options.requeue ? "requeue" : "no-requeue",
  };
  if (!options.requeue) lines.push_back("dependency=singleton");
  // With a spare the allocation outlives a node.
  if (options.spares > 0) lines.push_back("no-kill");
  if (!options.partition.empty()) lines.push_back("partition=" + options.partition);
  if (!options.account.empty()) lines.push_back("account=" + options.account);
  if (!options.exclude.empty()) lines.push_back("exclude=" + options.exclude);
  std::string header;
  for (const std::string& line : lines) {
    RequirePlain(line);
    header += "#SBATCH --" + line + "\n";
  }
  for (const std::string& line : options.sbatch) header += "#SBATCH " + line + "\n";
  header.pop_back();
  return header;
}

std::string Quoted(const std::vector<std::string>& words) {
  std::vector<std::string> quoted;
  for (const std::string& word : words) quoted.push_back(ShellQuote(word));
  return Join(quoted, " ");
}

// An agent a node starts the ranks, and starts them again. From inside a container it could not
// call srun: there srun starts the ranks, and a lost one costs the generation. Either way nothing
// is killed after one task's status, 75 included: that would cut the others' last words off.
std::string LaunchLine(const JobOptions& options) {
  // With spares it is not ended after one task either: the training may have moved off its node.
  const std::string common = StrCat("srun --export=ALL --kill-on-bad-exit=0 --wait=",
                                    options.container.empty() && options.spares > 0 ? 0 : 120);
  if (!options.container.empty())
    return StrCat(common, " --mpi=pmix --nodes=", options.nodes,
                  " --ntasks-per-node=", options.ranks_per_node,
                  " \\\n  \"${vesalius[@]}\" \"${training[@]}\"");
  const int agents = options.nodes + options.spares;
  return StrCat(common, options.spares > 0 ? " --no-kill" : "",
                " --mpi=none --overlap --nodes=", agents, " --ntasks=", agents,
                " --ntasks-per-node=1 \\\n  \"${vesalius[@]}\" launch", " --ranks ",
                options.nodes * options.ranks_per_node, " --nodes ", options.nodes, " --spares ",
                options.spares, " -- \"${training[@]}\"");
}

}  // namespace

std::string RenderBatchScript(const JobOptions& options) {
  std::vector<std::string> prologue = options.prologue;
  if (prologue.empty()) prologue = {"# (no prologue)"};
  const std::string program = ShellQuote(options.program);
  const std::map<std::string, std::string> fields = {
      {"HEADER", Header(options)},
      {"RUN", ShellQuote(options.run)},
      {"CHAIN", ShellQuote(options.chain)},
      {"REQUEUE", options.requeue ? "1" : "0"},
      {"NODES", StrCat(options.nodes + options.spares)},
      {"EXCLUDE", ShellQuote(options.exclude)},
      {"LAUNCH", LaunchLine(options)},
      {"VESALIUS", options.container.empty() ? program : options.container + " " + program},
      {"TRAINING", Quoted(options.training)},
      {"PROLOGUE", Join(prologue, "\n")},
  };
  // In one pass: what is filled in may look like a field.
  std::string script;
  bool after_text = false;
  for (const std::string& part : Split(kBatchScript, '@')) {
    const auto field = fields.find(part);
    const bool text = field == fields.end();
    if (text && after_text) script += '@';
    script += text ? part : field->second;
    after_text = text;
  }
  return script;
}

std::int64_t ParseTimeLimit(const std::string& text) {
  const std::size_t dash = text.find('-');
  std::vector<int> n = Numbers(text.substr(dash == std::string::npos ? 0 : dash + 1));
  bool good = n.size() <= 3;
  std::int64_t days = 0;
  if (dash != std::string::npos) {
    days = Numbers(text.substr(0, dash))[0];
    n.resize(3);  // hours, minutes, seconds
  } else if (n.size() == 1) {
    n = {0, n[0], 0};
  } else if (n.size() == 2) {
    n = {0, n[0], n[1]};
  }
  for (const int part : n) good = good && part >= 0;
  const std::int64_t seconds = good ? ((days * 24 + n[0]) * 60 + n[1]) * 60 + n[2] : 0;
  Require(good && days >= 0 && seconds > 0, ExitCode::kUsage,
          "--time wants minutes, minutes:seconds, hours:minutes:seconds or "
          "days-hours[:minutes[:seconds]], and a limit there must be, not '",
          text, "'");
  return seconds;
}

}  // namespace vesalius::slurm
