// `vesalius phantom`
#include "data/phantom/phantom.h"

#include "launch/command.h"
#include "launch/flags.h"
#include "launch/output.h"

namespace vesalius::launch {

static ExitCode Run(const Arguments&) {
  data::PhantomOptions options;
  options.out = FLAGS_out;
  options.samples = FLAGS_samples;
  options.seed = FLAGS_seed;
  options.size = FLAGS_size;
  options.progress = ProgressLine("phantom studies");
  data::WritePhantom(options);
  return ExitCode::kFinished;
}

Command PhantomCommand() {
  return {"phantom",
          "writes a synthetic chest data set with known regions, findings and reports",
          "",
          "vesalius phantom --out $(mktemp -d)/phantom --samples 200",
          {{"out", "DIR", "the data set's folder; must not hold one yet", Flag::kRequired},
           {"samples", "N", "studies to draw, 1 to 3 of each patient"},
           {"seed", "S", "everything drawn follows from it"},
           {"size", "PIXELS", "side of the square images"}},
          Run};
}

}  // namespace vesalius::launch
