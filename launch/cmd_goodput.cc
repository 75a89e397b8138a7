// `vesalius goodput`
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/output.h"
#include "record/goodput.h"

namespace vesalius::launch {
namespace {

ExitCode Run(const Arguments& arguments) {
  const record::Goodput goodput = record::AccountFor(record::ReadEvents(arguments.positional[0]));
  nlohmann::ordered_json found = {{"wall_s", goodput.wall()},
                                  {"attempts", goodput.attempts},
                                  {"steps", goodput.steps},
                                  {"redone_steps", goodput.redone_steps},
                                  {"events_dropped", goodput.dropped}};
  Print(StrCat(goodput.attempts, " attempts, ", goodput.steps, " steps, ", goodput.redone_steps,
               " more in vain, ", Fixed(goodput.wall(), 1), " s\n"));
  for (const auto& [name, seconds] : goodput.parts) {
    const double share = goodput.wall() > 0 ? seconds / goodput.wall() : 0;
    found["seconds"][name] = seconds;
    Print(StrCat("  ", name, std::string(12 - name.size(), ' '), Fixed(seconds, 2), " s  ",
                 Fixed(100 * share, 1), " %\n"));
  }
  if (goodput.dropped > 0)
    Print(StrCat(goodput.dropped,
                 " events could not be written (full or stuck disk): what they told of counts as "
                 "other\n"));
  if (!FLAGS_json.empty()) WriteFileAtomic(FLAGS_json, found.dump(2) + "\n");
  return ExitCode::kFinished;
}

}  // namespace

Command GoodputCommand() {
  return {"goodput",
          "accounts for every second of a run, from its event files alone",
          "RUN",
          "d=$(mktemp -d)\n"
          "vesalius phantom --out $d/phantom --samples 200\n"
          "vesalius pretrain --preset demo --data $d/phantom --run $d/run --set trainer.steps=20\n"
          "vesalius goodput $d/run",
          {{"json", "FILE", "also writes it all as JSON"}},
          Run};
}

}  // namespace vesalius::launch
