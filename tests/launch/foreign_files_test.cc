// Files of other programs (NumPy, TensorFlow, WebDataset, safetensors) given to what reads data:
// refused with a reason that names them, never read as something else.
#include <gmock/gmock.h>

#include <filesystem>

#include "base/strings.h"
#include "tests/util/program.h"
#include "tests/util/shared_data.h"
#include "tests/util/temp_dir.h"

namespace vesalius {
namespace {

TEST(ForeignFiles, AreRefusedByName) {
  VESALIUS_NEEDS_SHARED("data/formats");
  const TempDir dir;
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SharedData("data/formats"))) {
    const std::string file = entry.path().string();
    ++files;
    for (const std::string& words :
         {"inspect " + file, "import pairs --in " + file, "import openi --in " + file,
          "import dicom --in " + file, "import mimic-imagenome --in " + file,
          StrCat("import chexzero --in ", file, " --reports ", file)}) {
      const bool imports = words.starts_with("import");
      const Outcome outcome =
          Program(words + (imports ? StrCat(" --out ", dir.path(), "/out") : ""));
      EXPECT_THAT(outcome.status, testing::AnyOf(65, 66)) << words << "\n" << outcome.output;
      EXPECT_THAT(outcome.output, testing::HasSubstr(file)) << words;
    }
  }
  EXPECT_GT(files, 0);
}

}  // namespace
}  // namespace vesalius
