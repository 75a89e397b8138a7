// `vesalius checkpoints`
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "checkpoints/catalogue.h"
#include "checkpoints/reader.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/output.h"
#include "trainer/config.h"

namespace vesalius::launch {
namespace {

std::string Age(double seconds) {
  if (seconds < 120) return StrCat(Fixed(seconds, 0), " s");
  if (seconds < 7200) return StrCat(Fixed(seconds / 60, 0), " min");
  return seconds < 172800 ? StrCat(Fixed(seconds / 3600, 0), " h")
                          : StrCat(Fixed(seconds / 86400, 0), " days");
}

void PrintList(const nlohmann::json& found, const std::string& good) {
  if (found["checkpoints"].empty()) Print("no checkpoint yet\n");
  for (const nlohmann::json& entry : found["checkpoints"]) {
    Print(StrCat("step ", entry["step"].get<std::int64_t>(), "  ",
                 HumanBytes(entry["bytes"].get<std::uint64_t>()),
                 entry["pinned"] ? "  pinned" : ""));
    if (entry["good"])
      Print(StrCat("  ", Age(entry["age"]), " old  ", entry["world"].get<std::int64_t>(),
                   " rank(s)  ", good, "\n"));
    else
      Print(StrCat(entry["damaged"] ? "  DAMAGED: " : "  UNREADABLE: ",
                   entry["reason"].get<std::string>(), "\n"));
  }
}

std::string Name(const nlohmann::json& tensor) {
  return StrCat(tensor["role"].get<std::string>(), " ", tensor["name"].get<std::string>());
}

void PrintDiff(const nlohmann::json& found) {
  for (const char* side : {"only_a", "only_b"})
    for (const nlohmann::json& tensor : found[side])
      Print(StrCat("only in ", found[side == std::string("only_a") ? "a" : "b"].get<std::string>(),
                   ": ", Name(tensor), "\n"));
  for (const nlohmann::json& tensor : found["reshaped"])
    Print(StrCat(Name(tensor), ": ", tensor["a"].get<std::string>(), " in ",
                 found["a"].get<std::string>(), ", ", tensor["b"].get<std::string>(), " in ",
                 found["b"].get<std::string>(), "\n"));
  for (const nlohmann::json& tensor : found["tensors"]) {
    std::string line =
        StrCat(Name(tensor), ": ", tensor["elements"].get<std::int64_t>(), " elements differ");
    if (tensor["largest"].is_number())
      line += StrCat(", by ", tensor["largest"].get<double>(), " at most");
    if (tensor["not_finite"] > 0)
      line += StrCat(", ", tensor["not_finite"].get<std::int64_t>(), " by NaN or infinity");
    Print(line + "\n");
  }
  for (const nlohmann::json& name : found["blobs"])
    Print(StrCat("state '", name.get<std::string>(), "' differs\n"));
  if (found["equal"]) Print("equal, bit for bit\n");
}

// What the run itself keeps, by the configuration of its newest good checkpoint.
checkpoints::RetentionPolicy PolicyOf(const std::string& run) {
  const checkpoints::Reader newest(checkpoints::ResolveStep(run, nullptr));
  const trainer::Config config = trainer::ParseConfig(newest.info().config_text);
  return {config.trainer.keep, config.checkpoint.keep_every, config.checkpoint.keep_best};
}

ExitCode Run(const Arguments& arguments) {
  const std::vector<std::string>& words = arguments.positional;
  const std::string& run = words[0];
  const std::string action = words.size() > 1 ? words[1] : "list";
  const auto takes = [&](std::size_t more) {
    Require(words.size() == 2 + more || (words.size() == 1 && more == 0), ExitCode::kUsage,
            "`checkpoints RUN ", action, "` takes ", more,
            " more word(s); `vesalius checkpoints "
            "--help` shows them all");
  };
  nlohmann::json found;
  bool good = true;
  if (action == "list" || action == "verify") {
    takes(0);
    found = checkpoints::ListCheckpoints(run, action == "verify");
    PrintList(found, action == "verify" ? "every byte good" : "complete");
    for (const nlohmann::json& entry : found["checkpoints"])
      good = good && (action == "list" || entry["good"].get<bool>());
  } else if (action == "diff") {
    takes(2);
    found = checkpoints::DiffCheckpoints(run, words[2], words[3]);
    PrintDiff(found);
  } else if (action == "pin" || action == "unpin") {
    takes(1);
    checkpoints::PinStep(run, words[2], action == "pin");
    found = {{"step", words[2]}, {"pinned", action == "pin"}};
    Print(StrCat("step ", words[2], action == "pin" ? " stays\n" : " is not pinned any more\n"));
  } else if (action == "prune") {
    takes(0);
    Require(FLAGS_keep == 0 || FLAGS_keep >= 2, ExitCode::kUsage, "--keep must be at least 2");
    checkpoints::RetentionPolicy policy = PolicyOf(run);
    if (FLAGS_keep > 0) policy.newest = FLAGS_keep;
    found = checkpoints::Prune(run, policy);
    Print(StrCat(found["removed"].size(), " removed, ", found["kept"].get<int>(), " kept\n"));
  } else {
    Fail(ExitCode::kUsage, "`checkpoints` cannot '", action, "'",
         DidYouMean(action, {"list", "verify", "diff", "pin", "unpin", "prune"}),
         "; there are list, verify, diff, pin, unpin, prune");
  }
  if (!FLAGS_json.empty()) WriteFileAtomic(FLAGS_json, found.dump(2) + "\n");
  return good ? ExitCode::kFinished : ExitCode::kInvalidData;
}

}  // namespace

Command CheckpointsCommand() {
  return {"checkpoints",
          "lists, verifies, compares, pins and prunes the checkpoints of a run",
          "RUN [ACTION]...",
          "d=$(mktemp -d)\n"
          "vesalius phantom --out $d/phantom --samples 200\n"
          "vesalius pretrain --preset demo --data $d/phantom --run $d/run --set trainer.steps=20 "
          "--set trainer.checkpoint_every=10\n"
          "vesalius checkpoints $d/run verify\n"
          "vesalius checkpoints $d/run diff 10 20\n"
          "vesalius checkpoints $d/run pin 10",
          {{"json", "FILE", "also writes what is found as JSON"},
           {"keep", "N", "prune: newest checkpoints that stay (0: trainer.keep of the run)"}},
          Run};
}

}  // namespace vesalius::launch
