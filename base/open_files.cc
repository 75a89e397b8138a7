#include "base/open_files.h"

#include <sys/resource.h>

#include <algorithm>

namespace vesalius {

std::uint64_t RaiseOpenFiles() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < kOpenFilesWanted) {
    const rlimit more{std::min<rlim_t>(kOpenFilesWanted, limit.rlim_max), limit.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &more) == 0) limit = more;
  }
  return limit.rlim_cur;
}

}  // namespace vesalius
