#include "base/host.h"

#include <unistd.h>

#include <climits>
#include <fstream>

namespace vesalius {

std::string HostName() {
  char name[HOST_NAME_MAX + 1] = {};
  ::gethostname(name, HOST_NAME_MAX);
  return name;
}

std::string MachineId() {
  std::ifstream boot("/proc/sys/kernel/random/boot_id");
  std::string id;
  return boot >> id ? id : HostName();
}

}  // namespace vesalius
