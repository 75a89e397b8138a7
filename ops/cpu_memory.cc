#include "ops/cpu_memory.h"

#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <mutex>
#include <unordered_map>

#include "base/error.h"

namespace vesalius::ops {
namespace {

std::atomic<std::int64_t> live_bytes = 0, peak_bytes = 0;

void Count(std::int64_t bytes) {
  const std::int64_t now = live_bytes.fetch_add(bytes) + bytes;
  std::int64_t highest = peak_bytes.load();
  while (now > highest && !peak_bytes.compare_exchange_weak(highest, now)) {
  }
}

// The address of a block is also its context, without which operators that allocate raw memory
// (those of oneDNN) would refuse; what is to be counted at its end is kept beside.
class CountingAllocator : public c10::Allocator {
 public:
  explicit CountingAllocator(c10::Allocator* inner) {
    inner_ = inner;
    Invariant(inner->raw_deleter() != nullptr, "the allocator of LibTorch gives no raw memory");
  }

  c10::DataPtr allocate(std::size_t bytes) override {
    c10::DataPtr memory = inner_->allocate(bytes);
    const c10::Device device = memory.device();
    void* block = memory.release_context();
    if (block != nullptr) {
      Count(static_cast<std::int64_t>(bytes));
      const std::lock_guard lock(mutex_);
      sizes_[block] = static_cast<std::int64_t>(bytes);
    }
    return {block, block, &Free, device};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &Free; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    inner_->copy_data(to, from, bytes);
  }

 private:
  static void Free(void* block) {
    if (block == nullptr) return;
    {
      const std::lock_guard lock(mutex_);
      const auto found = sizes_.find(block);
      Count(-found->second);
      sizes_.erase(found);
    }
    inner_->raw_deleter()(block);
  }

  static inline c10::Allocator* inner_ = nullptr;
  static inline std::mutex mutex_;
  static inline std::unordered_map<void*, std::int64_t>& sizes_ =
      *new std::unordered_map<void*, std::int64_t>;  // tensors may outlive everything else
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
