// The files of a source that is a folder.
#pragma once

#include <string>
#include <vector>

namespace vesalius::data {

// All regular files under the folder, links followed, sorted, so that nothing depends on the file
// system's order. Error(kInputMissing) when it cannot be read.
std::vector<std::string> FilesUnder(const std::string& folder);

}  // namespace vesalius::data
