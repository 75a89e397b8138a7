// `vesalius import mimic-imagenome`
#include "data/import/imagenome/imagenome_importer.h"

#include <algorithm>

#include "launch/command.h"
#include "launch/flags.h"
#include "launch/import_command.h"

namespace vesalius::launch {
namespace {

// The place of the flag's value in its list of choices, which stand in the order of the
// enumeration.
template <typename Choice>
Choice Chosen(const std::vector<std::string>& choices, const std::string& value) {
  return static_cast<Choice>(std::find(choices.begin(), choices.end(), value) - choices.begin());
}

const std::vector<std::string> kSplits = {"imagenome", "mimic"};
const std::vector<std::string> kTest = {"both", "gold", "silver"};
const std::vector<std::string> kLabels = {"auto", "chexpert", "negbio", "findings"};

ExitCode Run(const Arguments&) {
  data::ImagenomeOptions options;
  static_cast<data::SourceOptions&>(options) = SourceFlags();
  options.imagenome = FLAGS_imagenome;
  options.images = FLAGS_images;
  options.reports = FLAGS_reports;
  options.splits = Chosen<data::SplitSource>(kSplits, FLAGS_splits);
  options.test = Chosen<data::TestImages>(kTest, FLAGS_test);
  options.labels = Chosen<data::ImageLabels>(kLabels, FLAGS_labels);
  return RunImport(*data::OpenImagenome(options));
}

}  // namespace

Command ImportImagenomeCommand() {
  return {
      "import mimic-imagenome",
      "makes a data set of MIMIC-CXR-JPG with Chest ImaGenome's regions, phrases and attributes",
      "",
      "test ! -d physionet.org || vesalius import mimic-imagenome --in physionet.org "
      "--out data/imagenome",
      ImportFlags(
          {"in", "DIR", "searched for what the next three flags do not give", Flag::kRequired},
          {{"imagenome", "DIR", "Chest ImaGenome: silver_dataset/, gold_dataset/"},
           {"images", "DIR", "MIMIC-CXR-JPG: files/p10/..., tables"},
           {"reports", "DIR", "reports of MIMIC-CXR: files/p10/..."},
           {"splits", "LIST", "whose splits count", Flag::kOptional, kSplits},
           {"test", "IMAGES", "which images are in the test split", Flag::kOptional, kTest},
           {"labels", "TABLE", "labels of whole images; findings: of their regions",
            Flag::kOptional, kLabels},
           {"boxes", "FILE", "more boxes: COCO JSON or CSV, by image id"}}),
      Run};
}

}  // namespace vesalius::launch
