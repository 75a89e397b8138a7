// Where plug-ins put the communicators that the program itself cannot make (NCCL).
#pragma once

#include <functional>
#include <memory>

#include "dist/bootstrap.h"
#include "dist/communicator.h"

namespace vesalius::dist {

using BackendFactory =
    std::function<std::unique_ptr<Communicator>(Bootstrap&, const CommunicatorOptions&)>;

// Thread-safe; a second registration replaces the first.
void RegisterBackend(Device device, BackendFactory factory);

// Error(kConfig) when no backend is registered for `device`.
std::unique_ptr<Communicator> MakeFromRegistry(Device device, Bootstrap& bootstrap,
                                               const CommunicatorOptions& options);

}  // namespace vesalius::dist
