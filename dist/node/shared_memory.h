// Memory that the processes of one node share. It never has a name in a file system: peers open it
// through the owner's descriptor under /proc, so that nothing is left behind however a rank dies,
// and the size of /dev/shm does not limit it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace vesalius::dist {

class SharedMemory {
 public:
  // Zeroed. Error(kNodeUnhealthy) when the kernel refuses.
  static SharedMemory Create(std::size_t bytes);
  // Another process's, by what it calls address(). Error(kPeerLost) when it has gone,
  // Error(kConfig) when it cannot be opened.
  static SharedMemory Open(const std::string& address);

  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept { *this = std::move(other); }
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  char* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::string address() const;

 private:
  char* data_ = nullptr;
  std::size_t size_ = 0;
  int fd_ = -1;
};

}  // namespace vesalius::dist
