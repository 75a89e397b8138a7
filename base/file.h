// Files, the one seam between the program and the disk: everything that is written goes through
// here, so that every failure carries path, reason and exit code, nothing half-written passes for
// complete, and tests can make any operation fail (base/file_hooks.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file_hooks.h"

namespace vesalius {

// Consults the fault hook for an operation that a library does for us (e.g. HDF5 writing `path`);
// throws Error(kCannotCreate) when a fault is injected.
void CheckFileFault(FileOp op, const std::string& path);

// A file opened for writing. Write/Sync/Close throw Error(code) naming the path; a destructor
// without Close() leaves a partial file behind, which callers must have put under a temporary name.
class OutputFile {
 public:
  // Truncates or creates, or appends when `append`.
  explicit OutputFile(const std::string& path, ExitCode code = ExitCode::kCannotCreate,
                      bool append = false);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void Write(const void* data, std::size_t bytes);
  void Write(std::string_view text) { Write(text.data(), text.size()); }
  void Sync();   // fdatasync
  void Close();  // reports delayed write errors; idempotent
  std::uint64_t size() const { return size_; }

 private:
  [[noreturn]] void FailNow(const char* what, int error) const;
  std::string path_;
  ExitCode code_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

// The whole file. Missing or unreadable: Error(kInputMissing).
std::string ReadFile(const std::string& path);

// `bytes` bytes at `offset`. Short file: Error(kInvalidData).
void ReadAt(const std::string& path, std::uint64_t offset, void* out, std::size_t bytes);

// Writes `path`.tmp-PID, syncs it, renames it to `path` and syncs the folder: readers see the old
// or the new content, never a part. A link is followed: the file that it leads to is replaced. A
// pipe, a device and what lies in /dev or /proc (/dev/stdout) is appended to as it is.
void WriteFileAtomic(const std::string& path, std::string_view content,
                     ExitCode code = ExitCode::kCannotCreate);

void MakeDirs(const std::string& path, ExitCode code = ExitCode::kCannotCreate);
void RenamePath(const std::string& from, const std::string& to,
                ExitCode code = ExitCode::kCannotCreate);
void RemoveTree(const std::string& path);  // no error when it is absent
void SyncDir(const std::string& path, ExitCode code = ExitCode::kCannotCreate);

// A fresh folder under the system's temporary one, removed with everything in it also when an
// exception passes. Error(kCannotCreate).
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

bool Exists(const std::string& path);
bool IsDir(const std::string& path);
// Nothing is there for sure, and no link either that leads somewhere: Error(kInputMissing) with the
// reason when that cannot be told.
bool IsMissing(const std::string& path);
std::uint64_t FileSize(const std::string& path);
std::vector<std::string> ListDir(const std::string& path);  // sorted names, without . and ..
std::string WithoutSlash(std::string path);  // "a/b" for "a/b/" and "a/b/.", so that paths compare

}  // namespace vesalius
