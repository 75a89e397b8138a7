#include "dist/memory.h"

#include <cstdlib>
#include <cstring>
#include <new>

namespace vesalius::dist {

std::shared_ptr<void> AllocateAligned(std::size_t bytes) {
  constexpr std::size_t kLine = 64;
  const std::size_t rounded = (bytes / kLine + 1) * kLine;
  void* memory = std::aligned_alloc(kLine, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  std::memset(memory, 0, rounded);
  return {memory, std::free};
}

}  // namespace vesalius::dist
