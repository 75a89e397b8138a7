// `vesalius import pairs`
#include <algorithm>

#include "base/log.h"
#include "data/import/import_pairs.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/output.h"

namespace vesalius::launch {

static constexpr std::size_t kShown = 10;  // quarantine entries named on the screen

static ExitCode Run(const Arguments&) {
  data::ImportPairsOptions options;
  options.in = FLAGS_in;
  options.out = FLAGS_out;
  options.image_column = FLAGS_image_column;
  options.text_column = FLAGS_text_column;
  options.patient_column = FLAGS_patient_column;
  options.split_column = FLAGS_split_column;
  options.boxes = FLAGS_boxes;
  options.vocab = FLAGS_vocab;
  options.size = FLAGS_size;
  options.test_share = FLAGS_test_share;
  options.valid_share = FLAGS_valid_share;
  options.progress = ProgressLine("pairs");
  const data::ImportReport report = data::ImportPairs(options);
  std::size_t shown = 0, left_out = 0;
  for (const data::Quarantined& entry : report.quarantined) {
    left_out += !entry.kept;
    if (++shown <= kShown)
      log::Warning(entry.kept ? "box left out of " : "quarantined ", entry.source, ": ",
                   entry.reason);
  }
  if (shown > kShown) log::Warning("... all of them: ", FLAGS_out, "/quarantine.jsonl");
  Print(StrCat("imported ", report.written, " of ", report.read, " pairs of ", report.patients,
               " patients, ", report.with_boxes, " with boxes; quarantined ", left_out, "\n"));
  return ExitCode::kFinished;
}

Command ImportPairsCommand() {
  return {
      "import pairs",
      "makes a data set of a CSV or JSONL file with image paths and texts",
      "",
      "d=$(mktemp -d)\n"
      "vesalius phantom --out $d/phantom --samples 20\n"
      "vesalius inspect $d/phantom --pictures $d/films\n"
      "(echo image,text; for f in $d/films/*.png; do echo \"$f,no effusion\"; done) > $d/p.csv\n"
      "vesalius import pairs --in $d/p.csv --out $d/pairs",
      {{"in", "PATH", "the CSV or JSONL file, or a folder that holds one", Flag::kRequired},
       {"out", "DIR", "the data set's folder; must not hold one yet", Flag::kRequired},
       {"image-column", "NAME", "column of the image paths; left out: found by its name"},
       {"text-column", "NAME", "column of the texts; left out: found by its name"},
       {"patient-column", "NAME", "column of the patients; left out: found by its name"},
       {"split-column", "NAME", "column of the splits; left out: found, or drawn by patient"},
       {"boxes", "FILE", "COCO JSON with boxes of regions; left out: the one beside the table"},
       {"vocab", "FILE", "vocab.txt of a BERT tokenizer; left out: learnt from the texts"},
       {"size", "PIXELS", "side of the stored square"},
       {"test-share", "SHARE", "of the patients, where the table has no split"},
       {"valid-share", "SHARE", "likewise"}},
      Run};
}

}  // namespace vesalius::launch
