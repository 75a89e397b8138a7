// `vesalius watch`
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/output.h"
#include "slurm/watch.h"

namespace vesalius::launch {

static ExitCode Run(const Arguments& arguments) {
  const std::string run = std::filesystem::weakly_canonical(arguments.positional[0]).string();
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  while (true) {
    const auto watch = slurm::WatchRun(run);
    const std::string state = watch["state"];
    if (terminal && !FLAGS_once) Print("\033[H\033[2J");
    Print(slurm::WatchText(watch));
    if (!FLAGS_json.empty()) WriteFileAtomic(FLAGS_json, watch.dump(2) + "\n");
    FlushOutput();
    if (FLAGS_once || state == "finished" || state == "lost" || state == "stopped")
      return ExitCode::kFinished;
    std::this_thread::sleep_for(std::chrono::seconds(terminal ? 5 : 30));
  }
}

Command WatchCommand() {
  return {"watch",
          "tells how a run is doing: state, last committed step, rate, time to go, faults",
          "RUN",
          "d=$(mktemp -d)\n"
          "vesalius phantom --out $d/phantom --samples 200\n"
          "vesalius pretrain --preset demo --data $d/phantom --run $d/run --set trainer.steps=20\n"
          "vesalius watch $d/run --once",
          {{"once", "", "tells it once; else again and again until the run is over"},
           {"json", "FILE", "also writes it as JSON, each time"}},
          Run};
}

}  // namespace vesalius::launch
