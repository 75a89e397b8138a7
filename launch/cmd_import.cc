// `vesalius import pairs`, `openi`, `chexzero` and `dicom`
#include "data/import/import_chexzero.h"
#include "data/import/import_dicom.h"
#include "data/import/import_openi.h"
#include "data/import/import_pairs.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/import_command.h"

namespace vesalius::launch {

static ExitCode RunPairs(const Arguments&) {
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
      RunPairs};
}

static ExitCode RunOpenI(const Arguments&) {
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
          RunOpenI};
}

static ExitCode RunCheXzero(const Arguments&) {
  return RunImport(*data::OpenCheXzero({SourceFlags(), FLAGS_reports, FLAGS_text_column}));
}

Command ImportCheXzeroCommand() {
  return {
      "import chexzero",
      "makes a data set of an HDF5 file of images and a CSV of reports, as CheXzero has them",
      "",
      "d=$(mktemp -d)\n"
      "vesalius import chexzero --in $d/cxr.h5 --out $d/set || echo \"no such file: $?\"",
      ImportFlags(
          {"in", "PATH", "the HDF5 file, or the folder that holds it", Flag::kRequired},
          {{"reports", "FILE", "CSV whose rows go with the images; left out: the one beside them"},
           {"text-column", "NAME", "column of the texts; left out: impression or report"},
           {"boxes", "FILE", "COCO JSON or CSV of boxes"}}),
      RunCheXzero};
}

static ExitCode RunDicom(const Arguments&) {
  return RunImport(*data::OpenDicom({SourceFlags(), FLAGS_reports}));
}

Command ImportDicomCommand() {
  return {"import dicom",
          "makes a data set of DICOM films and a table of reports",
          "",
          "d=$(mktemp -d)\n"
          "mkdir $d/films\n"
          "vesalius import dicom --in $d/films --out $d/set || echo \"no DICOM file there: $?\"",
          ImportFlags({"in", "PATH", "folder of the DICOM files, with all below it, or one file",
                       Flag::kRequired},
                      {{"reports", "FILE",
                        "table with texts by image or study; left out: modality, body part, view"},
                       {"boxes", "FILE", "COCO JSON or CSV of boxes"}}),
          RunDicom};
}

}  // namespace vesalius::launch
