// `vesalius pretrain`
#include "base/error.h"
#include "launch/command.h"
#include "launch/cuda_plugin.h"
#include "launch/flags.h"
#include "trainer/pretrain.h"

namespace vesalius::launch {

static ExitCode Run(const Arguments& arguments) {
  Require(FLAGS_preset.empty() != FLAGS_config.empty(), ExitCode::kUsage,
          "pretrain wants either --preset NAME or --config FILE");
  Require(FLAGS_local_ranks >= 0, ExitCode::kUsage, "--local-ranks wants a number >= 1, not ",
          FLAGS_local_ranks);
  trainer::PretrainOptions options;
  options.preset = FLAGS_preset;
  options.config_file = FLAGS_config;
  options.data = arguments.repeated.at("data");
  options.run = FLAGS_run;
  options.set = arguments.repeated.at("set");
  options.init = arguments.repeated.at("init");
  options.faults = arguments.repeated.at("fault");
  options.resume = FLAGS_resume;
  options.device = FLAGS_device;
  options.check = FLAGS_check;
  options.local_ranks = FLAGS_local_ranks;
  PrepareDevice(options.device);
  return trainer::Pretrain(options);
}

Command PretrainCommand() {
  return {
      "pretrain",
      "trains a model: alone, under mpirun or srun, or with ranks of its own",
      "",
      "d=$(mktemp -d)\n"
      "vesalius phantom --out $d/phantom --samples 200\n"
      "vesalius pretrain --preset demo --data $d/phantom --run $d/run --set trainer.steps=20",
      {{"preset", "NAME",
        "a configuration that comes along: demo, tiny, small, base, pairs, knowledge, frozen_text"},
       {"config", "FILE", "a configuration of your own, Protobuf text, instead of a preset"},
       {"data", "DIR[=WEIGHT]", "a data set; several are mixed, by size or by weight",
        Flag::kRequiredRepeated},
       {"run", "DIR", "the run's folder: checkpoints, metrics, logs", Flag::kRequired},
       {"set", "KEY=VALUE", "sets one key of the configuration: trainer.lr=1e-4", Flag::kRepeated},
       {"init", "FILE", "start from the weights of a safetensors file: timm ViT, Hugging Face BERT",
        Flag::kRepeated},
       {"resume", "HOW", "auto (newest good checkpoint), none, or a run or step folder"},
       {"device", "NAME", "auto, cpu or cuda", Flag::kOptional, {"auto", "cpu", "cuda"}},
       {"local-ranks", "N", "N ranks as threads of this process, without MPI; 0: no"},
       {"fault", "KIND@STEP:RANK",
        "a drill: kill, segv, abort, exit, throw, stop, hang, slow, nan, spike or flip, once, at "
        "that step",
        Flag::kRepeated},
       {"check", "", "validates everything, prints the configuration, starts nothing"}},
      Run};
}

}  // namespace vesalius::launch
