// Where a rank keeps its share of a save from the copy until the last byte is on disk: page-aligned
// memory, taken and touched once, so that neither a save nor a slow disk makes the process grow.
// With a memory folder it is two mapped files there, used in turn (checkpoints/memory_tier.h). That
// is a help and no promise: where the folder has room for one file, each save takes it from the one
// before; where it has room for none, the memory is private. Used by one thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "checkpoints/memory_tier.h"

namespace vesalius::checkpoints {

struct StagingOptions {
  std::string memory_folder;  // "": private memory
  int rank = 0;
  std::int64_t keep_step = -1;   // in memory: goes last, since the run goes on from it
  std::uint64_t host_bytes = 0;  // limit of a buffer; 0 = none
};

// Bytes that a process may still take without swapping; 0 when it is not known.
std::uint64_t AvailableMemory();
// Error(kCannotSave), with the numbers, when `available`, if known, is less than the `bytes` that
// `who` needs.
void RequireMemory(std::uint64_t bytes, std::uint64_t available, const std::string& who);

class Staging {
 public:
  explicit Staging(StagingOptions options);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Shares are to have `bytes`: takes a slot for one in the memory folder, where that has room.
  // What Reserve() is to take of the machine's memory beside it. Error(kConfig) when a share is
  // more than host_bytes.
  std::uint64_t Plan(std::uint64_t bytes);
  // Error(kCannotSave) when the machine does not have it; with the numbers.
  void Reserve();
  // The buffer of the next save; what its slot held before is given up. Reserve() came before.
  char* Begin();
  // The share is whole; `part` says what it holds. Nothing without a memory folder.
  void Publish(const std::string& part);
  // Has the buffer of the save after this one ready, so that it costs that save nothing. A state
  // that was in it is given up, but never the last one.
  void Prepare();

 private:
  struct Buffer {
    char* data = nullptr;
    std::uint64_t bytes = 0;
  };
  void ProvideSlot(bool begins);
  void Provide(bool begins);
  void Map(int slot);
  void Unmap(Buffer* buffer);
  int NextSlot() const { return in_turn_ ? 1 - slot_ : slot_; }

  StagingOptions options_;
  std::array<Buffer, kMemorySlots> buffers_;
  std::uint64_t bytes_ = 0;
  int slot_ = 1;  // of the last save
  bool in_turn_;  // both slots
};

}  // namespace vesalius::checkpoints
