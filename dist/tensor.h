// Tensors to the plain types of the communicator.
#pragma once

#include <ATen/core/Tensor.h>

#include "dist/communicator.h"

namespace vesalius::dist {

DType DTypeOf(at::ScalarType type);  // Error(kBug) for a type that no collective carries
at::Device DeviceOf(const Communicator& comm);

// A tensor of `shape` in memory that `comm` communicates best from; zeroed.
at::Tensor AllocateTensor(Communicator& comm, at::IntArrayRef shape, at::ScalarType type);

}  // namespace vesalius::dist
