// Reading tar archives, gzipped or plain, as a stream: an archive is never unpacked to disk.
#pragma once

#include <functional>
#include <string>

namespace vesalius::data {

// Calls `visit` for every regular file whose name `wanted` likes, in the archive's order. Names are
// as in the archive (GNU and pax long names too). Errors: kInputMissing; kInvalidData when it is no
// archive, is cut short, or a wanted file has more than 64 MiB.
void ReadTar(const std::string& path, const std::function<bool(const std::string& name)>& wanted,
             const std::function<void(const std::string& name, std::string bytes)>& visit);

}  // namespace vesalius::data
