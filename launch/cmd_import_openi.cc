// `vesalius import openi`
#include "data/import/import_openi.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/import_command.h"

namespace vesalius::launch {

static ExitCode Run(const Arguments&) {
  const auto importer = data::OpenOpenI({SourceFlags(), FLAGS_images});
  return importer->has_images() ? RunImport(*importer) : RunTextImport(*importer);
}

Command ImportOpenICommand() {
  return {"import openi",
          "makes a data set of Indiana University's films and reports, as Open-i gives them",
          "",
          "d=$(mktemp -d)\n"
          "mkdir $d/in\n"
          "cat > $d/in/1.xml <<XML\n"
          "<eCitation><uId id=\"CXR1\"/><Abstract>\n"
          "<AbstractText Label=\"FINDINGS\">The lungs are clear.</AbstractText>\n"
          "</Abstract></eCitation>\n"
          "XML\n"
          "vesalius import openi --in $d/in --out $d/texts",
          ImportFlags(
              {"in", "PATH", "archive of the reports, or the folder that holds it or its XML files",
               Flag::kRequired},
              {{"images", "DIR", "folder of the PNG or JPEG files; left out: found below --in"},
               {"boxes", "FILE", "COCO JSON or CSV of boxes"}}),
          Run};
}

}  // namespace vesalius::launch
