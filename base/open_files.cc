#include "base/open_files.h"

#include <sys/resource.h>

#include <algorithm>

namespace vesalius {

void RaiseOpenFiles() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= kOpenFilesWanted) return;
  limit.rlim_cur = std::min<rlim_t>(kOpenFilesWanted, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace vesalius
