// `vesalius export`
#include "checkpoints/tensor_export.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "trainer/export.h"

namespace vesalius::launch {

static ExitCode Run(const Arguments&) {
  trainer::Export({FLAGS_checkpoint, FLAGS_out, FLAGS_dtype == "bfloat16",
                   checkpoints::ParseSize(FLAGS_max_shard_size)});
  return ExitCode::kFinished;
}

Command ExportCommand() {
  return {"export",
          "writes safetensors and JSON that timm, transformers and safetensors load",
          "",
          "d=$(mktemp -d)\n"
          "vesalius phantom --out $d/phantom --samples 200\n"
          "vesalius pretrain --preset demo --data $d/phantom --run $d/run --set trainer.steps=20\n"
          "vesalius export --checkpoint $d/run --out $d/exported",
          {{"checkpoint", "DIR", "a run (its newest good checkpoint) or a step's folder",
            Flag::kRequired},
           {"out", "DIR", "the folder to write", Flag::kRequired},
           {"dtype", "NAME", "float32 or bfloat16", Flag::kOptional, {"float32", "bfloat16"}},
           {"max-shard-size", "SIZE",
            "a file with more tensors is cut, with an index as Hugging Face has it"}},
          Run};
}

}  // namespace vesalius::launch
