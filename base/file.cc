#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

namespace vesalius {
namespace {

using file_hooks::Fault;

const char* Remedy(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space or choose another folder";
    case EACCES:
    case EPERM:
      return "; check its owner and permissions";
    case EROFS:
      return "; the file system is read-only, choose another folder";
    case ENOENT:
      return "; check the spelling of the path";
    default:
      return "";
  }
}

[[noreturn]] void FailPath(ExitCode code, const char* what, const std::string& path, int error) {
  Fail(code, what, " ", path, ": ", std::strerror(error), Remedy(error));
}

// What the system gives, where nothing may be renamed; /dev/shm is an ordinary folder.
bool IsOfSystem(const std::string& path) {
  return path.starts_with("/proc/") ||
         (path.starts_with("/dev/") && !path.starts_with("/dev/shm/"));
}

// Where links lead, up to the first path of the system, whether a file is there or not.
std::string Followed(std::string path) {
  constexpr int kMostLinks = 40;  // as the kernel has it
  std::error_code error;
  for (int links = 0; links < kMostLinks && !IsOfSystem(path); ++links) {
    const std::filesystem::path next = std::filesystem::read_symlink(path, error);
    if (error) break;  // no link
    path = (std::filesystem::path(path).parent_path() / next).string();
  }
  return path;
}

}  // namespace

void CheckFileFault(FileOp op, const std::string& path) {
  if (const int error = Fault(op, path))
    FailPath(ExitCode::kCannotCreate, "cannot write", path, error);
}

OutputFile::OutputFile(const std::string& path, ExitCode code, bool append)
    : path_(path), code_(code) {
  int error = Fault(FileOp::kOpen, path);
  if (error == 0) {
    fd_ =
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0644);
    if (fd_ < 0) error = errno;
  }
  if (error != 0) FailNow("cannot create", error);
  file_hooks::Log(FileOp::kOpen, path);
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
}

void OutputFile::FailNow(const char* what, int error) const { FailPath(code_, what, path_, error); }

void OutputFile::Write(const void* data, std::size_t bytes) {
  const char* p = static_cast<const char*>(data);
  while (bytes > 0) {
    const long allowed = file_hooks::Allowed(path_, bytes);
    const ssize_t n = allowed < 0 ? -1 : ::write(fd_, p, static_cast<std::size_t>(allowed));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) FailNow("cannot write", n == 0 ? ENOSPC : errno);
    file_hooks::Log(FileOp::kWrite, path_, size_, p, static_cast<std::size_t>(n));
    p += n;
    bytes -= static_cast<std::size_t>(n);
    size_ += static_cast<std::uint64_t>(n);
  }
}

void OutputFile::Sync() {
  int error = Fault(FileOp::kSync, path_);
  if (error == 0 && ::fdatasync(fd_) != 0 && errno != EINVAL && errno != EROFS) error = errno;
  if (error != 0) FailNow("cannot sync", error);
  file_hooks::Log(FileOp::kSync, path_);
}

void OutputFile::Close() {
  if (fd_ < 0) return;
  int error = Fault(FileOp::kClose, path_);
  if (::close(std::exchange(fd_, -1)) != 0 && error == 0) error = errno;
  if (error != 0) FailNow("cannot close", error);
}

std::string ReadFile(const std::string& path) {
  int error = Fault(FileOp::kRead, path);
  const int fd = error == 0 ? ::open(path.c_str(), O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) FailPath(ExitCode::kInputMissing, "cannot read", path, error ? error : errno);
  std::string content;
  char buffer[1 << 16];
  ssize_t n;
  while ((n = ::read(fd, buffer, sizeof(buffer))) > 0 || (n < 0 && errno == EINTR))
    if (n > 0) content.append(buffer, static_cast<std::size_t>(n));
  error = n < 0 ? errno : 0;
  ::close(fd);
  if (error != 0) FailPath(ExitCode::kInputMissing, "cannot read", path, error);
  return content;
}

void ReadAt(const std::string& path, std::uint64_t offset, void* out, std::size_t bytes) {
  int error = Fault(FileOp::kRead, path);
  const int fd = error == 0 ? ::open(path.c_str(), O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) FailPath(ExitCode::kInputMissing, "cannot read", path, error ? error : errno);
  std::size_t done = 0;
  ssize_t n = 1;
  while (done < bytes && n > 0) {
    n = ::pread(fd, static_cast<char*>(out) + done, bytes - done,
                static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR)
      n = 1;
    else if (n > 0)
      done += static_cast<std::size_t>(n);
  }
  error = n < 0 ? errno : 0;
  ::close(fd);
  if (error != 0) FailPath(ExitCode::kInputMissing, "cannot read", path, error);
  Require(done == bytes, ExitCode::kInvalidData, path, " ends at byte ", offset + done, ", ",
          bytes - done, " bytes short: the file is truncated");
}

void WriteFileAtomic(const std::string& path, std::string_view content, ExitCode code) {
  const std::string target = Followed(path);
  struct stat info;
  const bool there = ::stat(target.c_str(), &info) == 0;
  if (IsOfSystem(target) || (there && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))) {
    std::fflush(stdout);  // may be the same file: what was printed so far stands before it
    OutputFile device(path, code, /*append=*/true);
    device.Write(content);
    device.Close();
    return;
  }
  const std::string temporary = StrCat(target, ".tmp-", ::getpid());
  try {
    OutputFile file(temporary, code);
    file.Write(content);
    file.Sync();
    file.Close();
    RenamePath(temporary, target, code);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  const std::string parent = std::filesystem::path(target).parent_path();
  SyncDir(parent.empty() ? "." : parent, code);
}

void MakeDirs(const std::string& path, ExitCode code) {
  std::error_code error;
  if (const int fault = Fault(FileOp::kMakeDir, path))
    FailPath(code, "cannot create folder", path, fault);
  const bool made = std::filesystem::create_directories(path, error);
  if (error) FailPath(code, "cannot create folder", path, error.value());
  if (made) file_hooks::Log(FileOp::kMakeDir, path);
}

void RenamePath(const std::string& from, const std::string& to, ExitCode code) {
  int error = Fault(FileOp::kRename, to);
  if (error == 0 && std::rename(from.c_str(), to.c_str()) != 0) error = errno;
  if (error != 0) FailPath(code, StrCat("cannot rename ", from, " to").c_str(), to, error);
  file_hooks::LogRename(from, to);
}

void RemoveTree(const std::string& path) {
  std::error_code error;
  if (const int fault = Fault(FileOp::kRemove, path))
    FailPath(ExitCode::kCannotCreate, "cannot remove", path, fault);
  std::filesystem::remove_all(path, error);
  if (error) FailPath(ExitCode::kCannotCreate, "cannot remove", path, error.value());
  file_hooks::Log(FileOp::kRemove, path);
}

void SyncDir(const std::string& path, ExitCode code) {
  int error = Fault(FileOp::kSync, path);
  const int fd = error == 0 ? ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  if (fd < 0) FailPath(code, "cannot open folder", path, error ? error : errno);
  if (::fsync(fd) != 0 && errno != EINVAL && errno != EROFS) error = errno;
  ::close(fd);
  if (error != 0) FailPath(code, "cannot sync folder", path, error);
  file_hooks::Log(FileOp::kSync, path);
}

ScratchFolder::ScratchFolder() {
  path_ = (std::filesystem::temp_directory_path() / "vesalius-XXXXXX").string();
  Require(::mkdtemp(path_.data()) != nullptr, ExitCode::kCannotCreate, path_, ": ",
          std::strerror(errno));
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

bool Exists(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0;
}

bool IsDir(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool IsMissing(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) == 0) return false;
  if (errno != ENOENT && errno != ENOTDIR)
    FailPath(ExitCode::kInputMissing, "cannot read", path, errno);
  return true;
}

std::uint64_t FileSize(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0)
    FailPath(ExitCode::kInputMissing, "cannot read", path, errno);
  return static_cast<std::uint64_t>(info.st_size);
}

std::vector<std::string> ListDir(const std::string& path) {
  std::error_code error;
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path, error))
    names.push_back(entry.path().filename());
  if (error) FailPath(ExitCode::kInputMissing, "cannot list", path, error.value());
  std::sort(names.begin(), names.end());
  return names;
}

std::string WithoutSlash(std::string path) {
  while (path.size() > 1 && (path.back() == '/' || path.ends_with("/."))) path.pop_back();
  return path;
}

}  // namespace vesalius
