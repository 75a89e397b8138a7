#include "dist/backend_registry.h"

#include <map>
#include <mutex>
#include <utility>

#include "base/error.h"

namespace vesalius::dist {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<Device, BackendFactory> factories;
};

Registry& TheRegistry() {
  static Registry registry;
  return registry;
}

}  // namespace

void RegisterBackend(Device device, BackendFactory factory) {
  Registry& registry = TheRegistry();
  std::lock_guard lock(registry.mutex);
  registry.factories[device] = std::move(factory);
}

std::unique_ptr<Communicator> MakeFromRegistry(Device device, Bootstrap& bootstrap,
                                               const CommunicatorOptions& options) {
  Registry& registry = TheRegistry();
  BackendFactory factory;
  {
    std::lock_guard lock(registry.mutex);
    const auto found = registry.factories.find(device);
    if (found != registry.factories.end()) factory = found->second;
  }
  Require(factory != nullptr, ExitCode::kConfig,
          "no communicator for this device: the CUDA plug-in is not loaded; use --device cpu");
  return factory(bootstrap, options);
}

}  // namespace vesalius::dist
