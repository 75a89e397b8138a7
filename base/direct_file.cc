#include "base/direct_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/file.h"

namespace vesalius {

DirectFile::DirectFile(const std::string& path, ExitCode code) : path_(path), code_(code) {
  if (const int error = file_hooks::Fault(FileOp::kOpen, path)) FailNow("cannot create", error);
  const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
  fd_ = ::open(path.c_str(), flags | O_DIRECT, 0644);
  if (fd_ < 0 && errno == EINVAL) {
    direct_ = false;
    fd_ = ::open(path.c_str(), flags, 0644);
  }
  if (fd_ < 0) FailNow("cannot create", errno);
  file_hooks::Log(FileOp::kOpen, path);
}

DirectFile::~DirectFile() {
  if (fd_ >= 0) ::close(fd_);
}

void DirectFile::FailNow(const char* what, int error) const {
  Fail(code_, what, " ", path_, ": ", std::strerror(error),
       error == ENOSPC || error == EDQUOT ? "; free some space or choose another folder" : "");
}

// False when it is in use already.
bool DirectFile::UsePageCache() {
  if (!direct_) return false;
  direct_ = false;
  const int flags = ::fcntl(fd_, F_GETFL);
  return ::fcntl(fd_, F_SETFL, flags & ~O_DIRECT) == 0;
}

void DirectFile::WriteSome(const char* data, std::size_t bytes) {
  while (bytes > 0) {
    const long allowed = file_hooks::Allowed(path_, bytes);
    const ssize_t n = allowed < 0 ? -1 : ::write(fd_, data, static_cast<std::size_t>(allowed));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EINVAL && UsePageCache()) continue;
    if (n <= 0) FailNow("cannot write", n == 0 ? ENOSPC : errno);
    file_hooks::Log(FileOp::kWrite, path_, size_, data, static_cast<std::size_t>(n));
    data += n;
    bytes -= static_cast<std::size_t>(n);
    size_ += static_cast<std::uint64_t>(n);
    // What follows an odd count does not lie as O_DIRECT wants it.
    if (size_ % kDirectAlignment != 0) UsePageCache();
  }
}

void DirectFile::Write(const void* data, std::size_t bytes) {
  const auto* p = static_cast<const char*>(data);
  const std::size_t aligned = bytes / kDirectAlignment * kDirectAlignment;
  WriteSome(p, aligned);
  if (aligned == bytes) return;
  UsePageCache();
  WriteSome(p + aligned, bytes - aligned);
}

void DirectFile::Sync() {
  int error = file_hooks::Fault(FileOp::kSync, path_);
  if (error == 0 && ::fdatasync(fd_) != 0 && errno != EINVAL && errno != EROFS) error = errno;
  if (error != 0) FailNow("cannot sync", error);
  file_hooks::Log(FileOp::kSync, path_);
}

void DirectFile::Close() {
  if (fd_ < 0) return;
  int error = file_hooks::Fault(FileOp::kClose, path_);
  if (::close(std::exchange(fd_, -1)) != 0 && error == 0) error = errno;
  if (error != 0) FailNow("cannot close", error);
}

}  // namespace vesalius
