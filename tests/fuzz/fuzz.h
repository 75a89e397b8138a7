// What fuzzers share. A fuzzer gives bytes that nobody vouches for to one parser. The parser may
// refuse them by an Error that blames the data; any other exception, a sanitizer's report, a leak
// or memory out of proportion is a finding.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"

// The entry that libFuzzer and tests/fuzz/replay.cc call; each fuzzer defines it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace vesalius::fuzz {

inline std::string_view Text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Runs `parse`; true when it accepted its input, false when it refused it.
template <typename F>
bool Accepts(F&& parse) {
  try {
    parse();
    return true;
  } catch (const Error& error) {
    if (error.code() == ExitCode::kInvalidData) return false;
    throw;
  }
}

// For what must hold of accepted inputs.
inline void Check(bool holds) {
  if (!holds) std::abort();
}

// A file in memory for parsers that want a path; gone with the object.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    Check(fd_ >= 0 &&
          ::write(fd_, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return StrCat("/proc/self/fd/", fd_); }

 private:
  int fd_;
};

}  // namespace vesalius::fuzz
