// Zeroed memory in two tiers behind one address range: the first bytes in RAM (huge pages where the
// system has them), the rest in a mapped file, which the system pages in and out. Code that walks
// rows need not know; results are the same. The file is removed as soon as it is mapped: nothing
// stays behind.
#pragma once

#include <cstddef>
#include <limits>

namespace vesalius::dist {

class TieredMemory {
 public:
  // `fast_bytes` of `bytes` are in RAM (rounded up to whole pages), the rest in a file in
  // $TMPDIR (or /tmp). Error(kCannotCreate) naming the folder when the file cannot be made that
  // large.
  explicit TieredMemory(std::size_t bytes,
                        std::size_t fast_bytes = std::numeric_limits<std::size_t>::max());
  ~TieredMemory();
  TieredMemory(const TieredMemory&) = delete;
  TieredMemory& operator=(const TieredMemory&) = delete;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  std::size_t slow_bytes() const { return slow_bytes_; }

 private:
  std::size_t bytes_, mapped_ = 0, slow_bytes_ = 0;
  void* data_ = nullptr;
};

}  // namespace vesalius::dist
