// How much memory tensors take: counts what LibTorch's CPU allocator hands out, on all threads. For
// benchmarks and for checking the memory that `vesalius plan` predicts; training runs without it.
// Memory of Communicator::Allocate (the gradient arena) is not LibTorch's and is not counted.
#pragma once

#include <cstdint>

namespace vesalius::ops {

// Bytes above what was live when the meter was made. The first meter of a process puts a counting
// allocator in LibTorch's place, for good: tensors made before it are never counted, nor is their
// end. Thread-safe; meters share one peak, so use them one after another.
class CpuMemoryMeter {
 public:
  CpuMemoryMeter();
  std::int64_t live() const;
  std::int64_t peak() const;

 private:
  std::int64_t start_;
};

}  // namespace vesalius::ops
