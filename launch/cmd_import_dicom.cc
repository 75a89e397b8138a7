// `vesalius import dicom`
#include "data/import/import_dicom.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/import_command.h"

namespace vesalius::launch {

static ExitCode Run(const Arguments&) {
  return RunImport(*data::OpenDicom({SourceFlags(), FLAGS_reports}));
}

Command ImportDicomCommand() {
  return {
      "import dicom",
      "makes a data set of a folder of DICOM films",
      "",
      "test ! -d films || vesalius import dicom --in films --reports reports.csv --out data/films",
      ImportFlags({"in", "PATH", "the folder, searched through, or one file", Flag::kRequired},
                  {{"reports", "FILE",
                    "table of texts by image, file or study; left out: films without reports"},
                   {"boxes", "FILE", "COCO JSON or CSV of boxes, by image UID or file name"}}),
      Run};
}

}  // namespace vesalius::launch
