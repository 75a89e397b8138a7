// Planned reports of MIMIC-CXR's kinds.
#pragma once

#include <optional>
#include <string>

#include "tests/data/imagenome/fixture_files.h"

namespace imagenome_fixture {

struct Study {
  std::optional<std::string> written;  // the file; nothing = there is none
  std::string text;                    // what must be read of it
  std::string out;  // kind of the reason for which its images are left out, or ""
};

// The kind of report goes round with `number`.
Study DrawReport(int number, Dice& dice);

}  // namespace imagenome_fixture
