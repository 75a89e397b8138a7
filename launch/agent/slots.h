// The slots of a node's memory folder (checkpoints/memory_tier.h) as whole things that are copied
// between nodes: a shard, and the part that makes it count, which is renamed into place last.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace vesalius::launch {

struct Slot {
  std::string stem;       // rank-0003.a
  std::int64_t time = 0;  // of its part, nanoseconds; a newer one replaces an older
  int Rank() const;
};

// Those that are whole.
std::vector<Slot> ListSlots(const std::string& folder);

// Gives the shard, then the part, piece by piece. False when the slot was staged into meanwhile, or
// `take` returns false: the copy is worth nothing.
bool ReadSlot(const std::string& folder, const Slot& slot,
              const std::function<bool(bool part, std::string_view data)>& take);

// A slot that is arriving. Nothing of it counts before Finish(). Errors: kCannotCreate;
// kInvalidData for a stem that is none.
class SlotWriter {
 public:
  SlotWriter(std::string folder, Slot slot);
  ~SlotWriter();
  void Add(bool part, std::string_view data);
  void Finish();

 private:
  std::string Incoming(bool part) const;
  const std::string folder_;
  const Slot slot_;
};

}  // namespace vesalius::launch
