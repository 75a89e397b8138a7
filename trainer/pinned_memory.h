// Page-locked memory for the pixels that go to a GPU.
#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <memory_resource>

namespace vesalius::trainer {

// LibTorch's pinned allocator where `device` is a GPU (the CUDA plug-in has been loaded then), null
// on the CPU. Thread-safe.
std::unique_ptr<std::pmr::memory_resource> PinnedMemory(at::Device device);

}  // namespace vesalius::trainer
