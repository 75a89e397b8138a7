// Makes the stored bytes of a chunk as the HDF5 library's own filters would read them: shuffle,
// deflate (by libdeflate), Fletcher-32. Equal input gives equal bytes. Of shuffled elements the
// leading bytes that deflate hardly shrinks lie in stored blocks of the stream: reading them is a
// copy.
#pragma once

#include <span>
#include <string>

namespace vesalius::data {

struct ChunkFilters {
  bool shuffle = false;  // split the bytes of elements
  bool deflate = false;
  bool fletcher32 = true;
};

inline constexpr int kDeflateLevel = 5;

// Thread-safe.
std::string EncodeChunk(std::span<const unsigned char> values, std::size_t element,
                        const ChunkFilters& filters);

}  // namespace vesalius::data
