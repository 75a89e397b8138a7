// `vesalius evaluate`
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "launch/command.h"
#include "launch/cuda_plugin.h"
#include "launch/flags.h"
#include "trainer/evaluate.h"

namespace vesalius::launch {

static ExitCode Run(const Arguments& arguments) {
  Require(FLAGS_local_ranks >= 0, ExitCode::kUsage, "--local-ranks wants a number >= 1, not ",
          FLAGS_local_ranks);
  trainer::EvaluateOptions options;
  options.checkpoint = FLAGS_checkpoint;
  options.data = arguments.repeated.at("data");
  options.split = FLAGS_split;
  options.task = FLAGS_task;
  options.json = FLAGS_json;
  options.pictures = FLAGS_pictures;
  options.device = FLAGS_device;
  options.local_ranks = FLAGS_local_ranks;
  PrepareDevice(options.device);
  trainer::Evaluate(options);
  return ExitCode::kFinished;
}

Command EvaluateCommand() {
  return {"evaluate",
          "measures a checkpoint: localisation, retrieval, zero-shot, anatomy-wise",
          "",
          "d=$(mktemp -d)\n"
          "vesalius phantom --out $d/phantom --samples 200\n"
          "vesalius pretrain --preset demo --data $d/phantom --run $d/run --set trainer.steps=20\n"
          "vesalius evaluate --checkpoint $d/run --data $d/phantom --pictures $d/pictures",
          {{"checkpoint", "DIR", "a run (its newest good checkpoint) or a step's folder",
            Flag::kRequired},
           {"data", "DIR", "a data set", Flag::kRequiredRepeated},
           {"split", "NAME", "train, valid or test"},
           {"task",
            "NAME",
            "all, localisation, retrieval, zeroshot or anatomy",
            Flag::kOptional,
            {"all", "localisation", "retrieval", "zeroshot", "anatomy"}},
           {"json", "FILE", "also writes the figures as JSON"},
           {"pictures", "DIR", "draws some images with the predicted boxes as PNG files"},
           {"device", "NAME", "auto, cpu or cuda", Flag::kOptional, {"auto", "cpu", "cuda"}},
           {"local-ranks", "N", "N ranks as threads of this process, without MPI; 0: no"}},
          Run};
}

}  // namespace vesalius::launch
