// What tests may do to file operations (base/file.h, base/direct_file.h): make any of them fail or
// transfer less than was asked, or keep a record of all that change the disk, so that every crash
// state of a sequence of operations can be rebuilt. Nothing is set outside of tests.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace vesalius {

enum class FileOp { kOpen, kRead, kWrite, kSync, kClose, kRename, kRemove, kMakeDir };

// Called before each operation. A positive result is taken as that errno, a negative one limits a
// write to that many bytes. Pass nullptr to remove. Setting it is not thread-safe against running
// operations; the hook is called from whatever thread does the operation.
using FileFault = std::function<int(FileOp op, const std::string& path)>;
void SetFileFault(FileFault fault);

// An operation that has changed the disk.
struct FileEvent {
  FileOp op;
  const std::string& path;
  const std::string& from;  // kRename: the former name
  std::uint64_t offset = 0;
  const void* data = nullptr;  // kWrite
  std::size_t bytes = 0;
};
using FileLog = std::function<void(const FileEvent& event)>;
void SetFileLog(FileLog log);  // after each such operation; same rules

namespace file_hooks {

int Fault(FileOp op, const std::string& path);
void Log(FileOp op, const std::string& path, std::uint64_t offset = 0, const void* data = nullptr,
         std::size_t bytes = 0);
void LogRename(const std::string& from, const std::string& to);

// How many of `bytes` a write may transfer; -1 with errno set when it is to fail.
long Allowed(const std::string& path, std::size_t bytes);

}  // namespace file_hooks
}  // namespace vesalius
