// The system's cache of file pages, for measurements of the disk.
#pragma once

#include <string>

namespace vesalius {

// Asks the system to forget the cached pages of every file in `folder`. Some file systems do not.
void DropFromCache(const std::string& folder);

}  // namespace vesalius
