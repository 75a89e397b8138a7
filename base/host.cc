#include "base/host.h"

#include <unistd.h>

#include <climits>

namespace vesalius {

std::string HostName() {
  char name[HOST_NAME_MAX + 1] = {};
  ::gethostname(name, HOST_NAME_MAX);
  return name;
}

}  // namespace vesalius
