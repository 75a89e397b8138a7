#include "base/page_cache.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/strings.h"

namespace vesalius {

void DropFromCache(const std::string& folder) {
  for (const std::string& name : ListDir(folder)) {
    const int fd = ::open(StrCat(folder, "/", name).c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    ::fdatasync(fd);  // pages that are still to be written would stay
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
  }
}

}  // namespace vesalius
