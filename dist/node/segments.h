// The memory of this process that other ranks of its node can read and write in place, and what
// this process has opened of theirs.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "dist/node/node_group.h"
#include "dist/node/shared_memory.h"

namespace vesalius::dist {

// Shared by a communicator and those split from it. Thread-safe.
class Segments : public std::enable_shared_from_this<Segments> {
 public:
  std::shared_ptr<void> Allocate(std::size_t bytes);

  // Serial 0 where [data, data + bytes) is not in memory of Allocate().
  NodeGroup::Location Find(const void* data, std::size_t bytes);

  // Where this process sees the memory of the rank with this number in the whole job; valid until
  // the next Open of that rank's memory.
  char* Open(int name, const NodeGroup::Location& where);

 private:
  struct Own {
    std::uint64_t serial;
    std::size_t bytes;
    std::string address;
  };
  struct Opened {
    SharedMemory memory;
    std::uint64_t used;  // when: the least recently used one goes first
  };
  std::mutex mutex_;
  std::uint64_t next_serial_ = 0;
  std::uint64_t uses_ = 0;
  std::map<const char*, Own> own_;
  std::map<int, std::map<std::uint64_t, Opened>> opened_;
};

}  // namespace vesalius::dist
