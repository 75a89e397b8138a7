// Files that may be compressed with gzip, told apart by content: tables are distributed as .csv.gz
// and often unpacked.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vesalius::data {

inline constexpr std::size_t kMostUnpacked = std::size_t{1} << 30;

// What `bytes` are compressed from (all members of the file, each with its checksum verified), or a
// copy of them when they are no gzip file. `name` is for messages. Damaged or cut off, or more than
// `most` bytes of content: Error(kInvalidData).
std::string Gunzip(std::string_view bytes, const std::string& name,
                   std::size_t most = kMostUnpacked);

}  // namespace vesalius::data
