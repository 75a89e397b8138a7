#include "dist/node/segments.h"

#include <algorithm>
#include <cstring>

namespace vesalius::dist {
namespace {

constexpr std::size_t kOpenLimit = 16;  // kept open of one rank

}  // namespace

std::shared_ptr<void> Segments::Allocate(std::size_t bytes) {
  auto memory = std::make_shared<SharedMemory>(SharedMemory::Create(bytes));
  char* data = memory->data();
  std::lock_guard lock(mutex_);
  const std::uint64_t serial = ++next_serial_;
  own_[data] = {serial, bytes, memory->address()};
  return {data, [self = shared_from_this(), memory](char* p) {
            std::lock_guard forget(self->mutex_);
            self->own_.erase(p);
          }};
}

NodeGroup::Location Segments::Find(const void* data, std::size_t bytes) {
  std::lock_guard lock(mutex_);
  NodeGroup::Location where;
  const char* begin = static_cast<const char*>(data);
  const auto next = own_.upper_bound(begin);
  if (next == own_.begin()) return where;
  const auto& [start, entry] = *std::prev(next);
  const auto offset = static_cast<std::size_t>(begin - start);
  if (offset + bytes > entry.bytes || entry.address.size() >= sizeof(where.address)) return where;
  where.serial = entry.serial;
  where.offset = offset;
  std::memcpy(where.address, entry.address.data(), entry.address.size());
  return where;
}

char* Segments::Open(int name, const NodeGroup::Location& where) {
  std::lock_guard lock(mutex_);
  auto& theirs = opened_[name];
  auto found = theirs.find(where.serial);
  if (found == theirs.end()) {
    if (theirs.size() >= kOpenLimit) {
      theirs.erase(std::ranges::min_element(theirs, {},
                                            [](const auto& entry) { return entry.second.used; }));
    }
    found = theirs.emplace(where.serial, Opened{SharedMemory::Open(where.address), 0}).first;
  }
  found->second.used = ++uses_;
  return found->second.memory.data() + where.offset;
}

}  // namespace vesalius::dist
