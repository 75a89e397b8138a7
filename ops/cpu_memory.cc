#include "ops/cpu_memory.h"

#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <mutex>

namespace vesalius::ops {
namespace {

std::atomic<std::int64_t> live_bytes = 0, peak_bytes = 0;

void Count(std::int64_t bytes) {
  const std::int64_t now = live_bytes.fetch_add(bytes) + bytes;
  std::int64_t highest = peak_bytes.load();
  while (now > highest && !peak_bytes.compare_exchange_weak(highest, now)) {
  }
}

class CountingAllocator : public c10::Allocator {
 public:
  explicit CountingAllocator(c10::Allocator* inner) : inner_(inner) {}

  c10::DataPtr allocate(std::size_t bytes) override {
    auto* block = new Block{inner_->allocate(bytes), static_cast<std::int64_t>(bytes)};
    Count(block->bytes);
    return {block->memory.get(), block, &Free, block->memory.device()};
  }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    inner_->copy_data(to, from, bytes);
  }

 private:
  struct Block {
    c10::DataPtr memory;
    std::int64_t bytes;
  };
  static void Free(void* context) {
    auto* block = static_cast<Block*>(context);
    Count(-block->bytes);
    delete block;
  }

  c10::Allocator* const inner_;
};

void Install() {
  static std::once_flag once;
  std::call_once(once, [] {
    // Never freed: tensors may outlive everything else.
    c10::SetCPUAllocator(new CountingAllocator(c10::GetCPUAllocator()), /*priority=*/255);
  });
}

}  // namespace

CpuMemoryMeter::CpuMemoryMeter() {
  Install();
  start_ = live_bytes.load();
  peak_bytes.store(start_);
}

std::int64_t CpuMemoryMeter::live() const { return live_bytes.load() - start_; }
std::int64_t CpuMemoryMeter::peak() const { return peak_bytes.load() - start_; }

}  // namespace vesalius::ops
