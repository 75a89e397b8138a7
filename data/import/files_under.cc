#include "data/import/files_under.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"

namespace vesalius::data {

std::vector<std::string> FilesUnder(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<std::string> files;
  try {
    for (const auto& entry : fs::recursive_directory_iterator(
             folder, fs::directory_options::follow_directory_symlink |
                         fs::directory_options::skip_permission_denied))
      if (entry.is_regular_file()) files.push_back(entry.path().string());
  } catch (const fs::filesystem_error& error) {  // e.g. links that run in a circle
    Fail(ExitCode::kInputMissing, folder, " cannot be read: ", error.what());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace vesalius::data
