// `vesalius import pairs`
#include "data/import/import_pairs.h"

#include "launch/command.h"
#include "launch/flags.h"
#include "launch/import_command.h"

namespace vesalius::launch {

static ExitCode Run(const Arguments&) {
  data::PairsOptions options{SourceFlags(), FLAGS_image_column, FLAGS_text_column,
                             FLAGS_patient_column, FLAGS_split_column};
  return RunImport(*data::OpenPairs(options));
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
      ImportFlags(
          {"in", "PATH", "the CSV or JSONL file, or a folder that holds one", Flag::kRequired},
          {{"image-column", "NAME", "column of the image paths; left out: found by its name"},
           {"text-column", "NAME", "column of the texts; left out: found by its name"},
           {"patient-column", "NAME", "column of the patients; left out: found by its name"},
           {"split-column", "NAME", "column of the splits; left out: found, or drawn by patient"},
           {"boxes", "FILE", "COCO JSON or CSV of boxes; left out: COCO beside the table"}}),
      Run};
}

}  // namespace vesalius::launch
