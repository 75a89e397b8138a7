// `vesalius embed`
#include "base/error.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "trainer/export.h"

namespace vesalius::launch {

static ExitCode Run(const Arguments&) {
  Require(FLAGS_images.empty() != FLAGS_texts.empty(), ExitCode::kUsage,
          "embed wants either --images FILE or --texts FILE");
  trainer::EmbedOptions options;
  options.checkpoint = FLAGS_checkpoint;
  options.images = FLAGS_images;
  options.texts = FLAGS_texts;
  options.out = FLAGS_out;
  trainer::Embed(options);
  return ExitCode::kFinished;
}

Command EmbedCommand() {
  return {"embed",
          "writes the vectors, boxes and presence of images, or the vectors of texts",
          "",
          "d=$(mktemp -d)\n"
          "vesalius phantom --out $d/phantom --samples 200\n"
          "vesalius pretrain --preset demo --data $d/phantom --run $d/run --set trainer.steps=20\n"
          "echo 'no effusion in the left lung' > $d/lines\n"
          "vesalius embed --checkpoint $d/run --texts $d/lines --out $d/text.safetensors",
          {{"checkpoint", "DIR", "a run (its newest good checkpoint) or a step's folder",
            Flag::kRequired},
           {"images", "FILE", "a file with the path of one image a line"},
           {"texts", "FILE", "a file with one text a line, instead of --images"},
           {"out", "FILE", "the safetensors file to write, rows in input order", Flag::kRequired}},
          Run};
}

}  // namespace vesalius::launch
