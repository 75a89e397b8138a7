#include "dist/tensor.h"

#include <ATen/ATen.h>

#include "base/error.h"

namespace vesalius::dist {

DType DTypeOf(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return DType::kFloat32;
    case at::kDouble:
      return DType::kFloat64;
    case at::kBFloat16:
      return DType::kBFloat16;
    case at::kInt:
      return DType::kInt32;
    case at::kLong:
      return DType::kInt64;
    case at::kByte:
    case at::kBool:
      return DType::kUInt8;
    default:
      Fail(ExitCode::kBug, "internal error: tensors of type ", at::toString(type),
           " cannot be exchanged between ranks");
  }
}

at::Device DeviceOf(const Communicator& comm) {
  if (comm.device() == Device::kCpu) return at::kCPU;
  return at::empty({0}, at::device(at::kCUDA)).device();  // the current one
}

at::Tensor AllocateTensor(Communicator& comm, at::IntArrayRef shape, at::ScalarType type) {
  const std::size_t bytes = c10::multiply_integers(shape) * c10::elementSize(type);
  const std::shared_ptr<void> memory = comm.Allocate(bytes);
  return at::from_blob(
      memory.get(), shape, [memory](void*) {}, at::dtype(type).device(DeviceOf(comm)));
}

}  // namespace vesalius::dist
