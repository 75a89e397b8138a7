// `vesalius plan`
#include "base/error.h"
#include "base/file.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/output.h"
#include "trainer/plan.h"

namespace vesalius::launch {
namespace {

void PrintPlan(const nlohmann::ordered_json& plan) {
  Print(StrCat(plan["ranks"].dump(), " ranks, ", plan["images_per_rank"].dump(), " images each; ",
               plan["parameters"].dump(), " parameters, vocabulary of ", plan["vocabulary"].dump(),
               " pieces; rehearsed with ", plan["rehearsed_images"].dump(),
               " images\n\nmemory of a rank\n"));
  for (const auto& [part, bytes] : plan["memory"].items())
    Print(StrCat("  ", part, ": ", HumanBytes(bytes.get<std::uint64_t>()), "\n"));
  Print("\ncollectives of a step: calls, bytes sent by a rank, seconds\n");
  for (const auto& row : plan["collectives"]) {
    Print(StrCat("  ", row["kind"].get<std::string>(), " '", row["name"].get<std::string>(),
                 "': ", row["calls"].dump(), ", ", row["bytes_sent"].dump(), ", ",
                 Fixed(row["seconds"].get<double>(), 6), "\n"));
  }
  Print(StrCat("  in all ", HumanBytes(plan["bytes_sent"].get<std::uint64_t>()),
               "\n\nseconds of a step\n"));
  for (const auto& [part, seconds] : plan["seconds"].items())
    Print(StrCat("  ", part, ": ", Fixed(seconds.get<double>(), 4), "\n"));
  Print(StrCat("  ", Fixed(plan["samples_per_s"].get<double>(), 1), " samples/s\n"));
  for (const auto& part : plan["left_out"])
    Print(StrCat("left out: ", part.get<std::string>(), "\n"));
}

ExitCode Run(const Arguments& arguments) {
  Require(FLAGS_preset.empty() != FLAGS_config.empty(), ExitCode::kUsage,
          "plan wants either --preset NAME or --config FILE");
  Require(FLAGS_tflops >= 0, ExitCode::kUsage, "--tflops wants a number >= 0");
  trainer::PlanOptions options;
  options.preset = FLAGS_preset;
  options.config_file = FLAGS_config;
  options.set = arguments.repeated.at("set");
  const auto& data = arguments.repeated.at("data");
  Require(data.size() <= 1, ExitCode::kUsage, "plan rehearses on one --data folder");
  if (!data.empty()) options.data = data[0];
  options.nodes = FLAGS_nodes;
  options.ranks_per_node = FLAGS_ranks_per_node;
  if (!FLAGS_links.empty()) options.links = dist::ReadLinks(FLAGS_links);
  options.tflops = FLAGS_tflops;
  const auto plan = trainer::MakePlan(options);
  PrintPlan(plan);
  if (!FLAGS_json.empty()) WriteFileAtomic(FLAGS_json, plan.dump(2) + "\n");
  return ExitCode::kFinished;
}

}  // namespace

Command PlanCommand() {
  return {"plan",
          "predicts memory, bytes and time of a step on any number of ranks, by rehearsing one",
          "",
          "vesalius plan --preset demo --nodes 2 --ranks-per-node 4",
          {{"preset", "NAME", "a configuration that comes along"},
           {"config", "FILE", "a configuration of your own, Protobuf text, instead of a preset"},
           {"nodes", "N", "nodes of the job"},
           {"ranks-per-node", "N", "ranks on each of them"},
           {"set", "KEY=VALUE", "sets one key of the configuration", Flag::kRepeated},
           {"data", "DIR", "the data set to rehearse with; else a phantom set is drawn",
            Flag::kRepeated},
           {"links", "FILE", "latency and bandwidth, as `run bench links --json FILE` wrote them"},
           {"tflops", "X", "what a rank sustains; 0: as fast as this machine"},
           {"json", "FILE", "also writes the plan as JSON"}},
          Run};
}

}  // namespace vesalius::launch
