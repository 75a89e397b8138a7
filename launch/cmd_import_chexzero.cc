// `vesalius import chexzero`
#include "data/import/import_chexzero.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/import_command.h"

namespace vesalius::launch {

static ExitCode Run(const Arguments&) {
  return RunImport(*data::OpenChexzero({SourceFlags(), FLAGS_reports}));
}

Command ImportChexzeroCommand() {
  return {"import chexzero",
          "makes a data set of CheXzero's image HDF5 file and its CSV of impressions",
          "",
          "test ! -e cxr.h5 || vesalius import chexzero --in cxr.h5 --reports impressions.csv "
          "--out data/cxr",
          ImportFlags({"in", "PATH", "the HDF5 file, or a folder that holds one", Flag::kRequired},
                      {{"reports", "FILE", "the CSV; left out: the only one beside the HDF5 file"},
                       {"boxes", "FILE", "COCO JSON or CSV of boxes, by file name"}}),
          Run};
}

}  // namespace vesalius::launch
