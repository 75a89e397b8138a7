#include "trainer/pinned_memory.h"

#include <ATen/ATen.h>

#include <mutex>
#include <unordered_map>

namespace vesalius::trainer {
namespace {

class Pinned final : public std::pmr::memory_resource {
 private:
  void* do_allocate(std::size_t bytes, std::size_t /*alignment*/) override {
    at::Tensor block = at::empty({static_cast<std::int64_t>(bytes)},
                                 at::TensorOptions().dtype(at::kByte).pinned_memory(true));
    void* memory = block.data_ptr();
    const std::lock_guard lock(mutex_);
    blocks_.emplace(memory, std::move(block));
    return memory;
  }
  void do_deallocate(void* memory, std::size_t /*bytes*/, std::size_t /*alignment*/) override {
    const std::lock_guard lock(mutex_);
    blocks_.erase(memory);  // LibTorch keeps it for the next batch
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  std::mutex mutex_;
  std::unordered_map<void*, at::Tensor> blocks_;
};

}  // namespace

std::unique_ptr<std::pmr::memory_resource> PinnedMemory(at::Device device) {
  return device.is_cuda() ? std::make_unique<Pinned>() : nullptr;
}

}  // namespace vesalius::trainer
