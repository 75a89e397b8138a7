// Plain memory for the CPU backends' Allocate().
#pragma once

#include <cstddef>
#include <memory>

namespace vesalius::dist {

// Zeroed, aligned to 64 bytes (one cache line); never null.
std::shared_ptr<void> AllocateAligned(std::size_t bytes);

}  // namespace vesalius::dist
