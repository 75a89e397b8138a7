// `vesalius bad-nodes`
#include <algorithm>
#include <cctype>
#include <chrono>
#include <ctime>

#include "base/error.h"
#include "base/file.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/output.h"
#include "slurm/bad_nodes.h"

namespace vesalius::launch {
namespace {

std::string LocalTime(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm local{};
  ::localtime_r(&time, &local);
  char text[32];
  std::strftime(text, sizeof(text), "%F %T", &local);
  return text;
}

void PrintList(const std::vector<slurm::BadNode>& nodes, std::int64_t now) {
  for (const slurm::BadNode& bad : nodes)
    Print(StrCat(bad.node, "  ", bad.count, bad.count == 1 ? " failure" : " failures", ", last: ",
                 bad.reason, "; ", bad.until > now ? "avoided until " : "avoided again since ",
                 LocalTime(bad.until), "\n"));
  if (nodes.empty()) Print("no node of this run failed\n");
}

void RequireName(const std::string& node) {
  const bool name = !node.empty() && std::ranges::all_of(node, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_';
  });
  Require(name, ExitCode::kUsage, "--add wants the name of one node, not '", node, "'");
}

ExitCode Run(const Arguments& arguments) {
  const std::string& run = arguments.positional[0];
  Require(Exists(run), ExitCode::kInputMissing, run, " does not exist");
  std::vector<slurm::BadNode> nodes = slurm::ReadBadNodes(run);
  const std::int64_t now = std::time(nullptr);
  std::vector<std::string> failed = arguments.repeated.at("add");
  for (const std::string& node : failed) RequireName(node);
  const bool asked = FLAGS_exclude_for > 0;
  if (asked && failed.empty())
    if (const std::string blamed = slurm::BlamedNode(run); !blamed.empty()) failed = {blamed};
  for (const std::string& node : failed) slurm::AddBadNode(&nodes, node, FLAGS_reason, now);
  for (const std::string& node : arguments.repeated.at("forgive"))
    Require(std::erase_if(nodes, [&](const auto& bad) { return bad.node == node; }) > 0,
            ExitCode::kUsage, node, " is not in the list");
  if (!failed.empty() || !arguments.repeated.at("forgive").empty())
    slurm::WriteBadNodes(run, nodes);
  if (!asked) {
    PrintList(nodes, now);
    return ExitCode::kFinished;
  }
  std::vector<std::string> names = slurm::NodesToExclude(nodes, now, FLAGS_exclude_for, FLAGS_of);
  if (!FLAGS_also.empty()) names.insert(names.begin(), FLAGS_also);
  Print(Join(names, ",") + (names.empty() ? "" : "\n"));
  return ExitCode::kFinished;
}

}  // namespace

Command BadNodesCommand() {
  return {
      "bad-nodes",
      "lists the nodes that a run keeps away from, adds some, forgives some",
      "RUN",
      "d=$(mktemp -d)\nvesalius bad-nodes $d --add node17 --reason 'ECC errors'\n"
      "vesalius bad-nodes $d --forgive node17",
      {{"add", "NODE", "a node that failed: avoided for 1 h, then 2 h, ... 24 h", Flag::kRepeated},
       {"reason", "TEXT", "what it did"},
       {"forgive", "NODE", "takes a node off the list", Flag::kRepeated},
       {"exclude-for", "N",
        "prints what a job of N nodes excludes (the batch script asks so; without --add it "
        "adds the node that RUN/failure.json blames); 0: prints the list"},
       {"of", "N", "nodes of the partition: at most a fifth of them is excluded"},
       {"also", "LIST", "nodes to exclude in any case"}},
      Run};
}

}  // namespace vesalius::launch
