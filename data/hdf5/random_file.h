// A file open for reading at any place by any thread: pread, no shared position.
#pragma once

#include <cstdint>
#include <string>

namespace vesalius::data {

class RandomFile {
 public:
  explicit RandomFile(const std::string& path);  // Error(kInputMissing)
  ~RandomFile();
  RandomFile(const RandomFile&) = delete;
  RandomFile& operator=(const RandomFile&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }               // when it was opened
  std::int64_t modified_ns() const { return modified_ns_; }  // as the file system tells it
  // All of [offset, offset + bytes), or Error(kInvalidData): cut short or unreadable.
  void Read(std::uint64_t offset, void* out, std::size_t bytes) const;

 private:
  std::string path_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
  std::int64_t modified_ns_ = 0;
};

}  // namespace vesalius::data
