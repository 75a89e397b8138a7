// A file written in one go past the page cache (O_DIRECT): large sequential writes at the disk's
// rate that cost the processor and other readers' cache next to nothing. Where the file system does
// not know O_DIRECT (tmpfs, some network ones) the same calls go through the page cache.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"

namespace vesalius {

inline constexpr std::size_t kDirectAlignment = 4096;

class DirectFile {
 public:
  // Truncates or creates. All errors: Error(code) naming the path.
  DirectFile(const std::string& path, ExitCode code);
  ~DirectFile();  // without Close() a partial file stays
  DirectFile(const DirectFile&) = delete;
  DirectFile& operator=(const DirectFile&) = delete;

  // Appends. `data` lies at a multiple of kDirectAlignment, and `bytes` is a multiple of it but in
  // the last call.
  void Write(const void* data, std::size_t bytes);
  void Sync();   // fdatasync
  void Close();  // reports delayed errors; idempotent

 private:
  [[noreturn]] void FailNow(const char* what, int error) const;
  void WriteSome(const char* data, std::size_t bytes);
  bool UsePageCache();

  std::string path_;
  ExitCode code_;
  int fd_ = -1;
  bool direct_ = true;
  std::uint64_t size_ = 0;
};

}  // namespace vesalius
