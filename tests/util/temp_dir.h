// A fresh folder for one test, removed with everything in it.
#pragma once

#include "base/file.h"

namespace vesalius {

using TempDir = ScratchFolder;

}  // namespace vesalius
