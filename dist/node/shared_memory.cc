#include "dist/node/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace vesalius::dist {
namespace {

// `error` is taken by value, before anything else can change errno.
template <typename... Parts>
[[noreturn]] void FailBy(int error, ExitCode code, const Parts&... parts) {
  Fail(code, parts..., ": ", std::strerror(error));
}

char* Map(int fd, std::size_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) {
    FailBy(errno, ExitCode::kNodeUnhealthy, "cannot map ", HumanBytes(bytes), " of shared memory");
  }
  return static_cast<char*>(data);
}

}  // namespace

SharedMemory SharedMemory::Create(std::size_t bytes) {
  SharedMemory memory;
  memory.fd_ = memfd_create("vesalius", MFD_CLOEXEC);
  // Reserved here and now: memory that is not there shows as this error, not as a signal later.
  const auto size = static_cast<off_t>(bytes);
  const bool made = memory.fd_ >= 0 && ftruncate(memory.fd_, size) == 0 &&
                    (bytes == 0 || fallocate(memory.fd_, 0, 0, size) == 0);
  if (!made) {
    FailBy(
        errno, ExitCode::kNodeUnhealthy, "cannot create ", HumanBytes(bytes),
        " of shared memory; raise the limits on file size (ulimit -f) and memory of this job, or "
        "start fewer ranks");
  }
  memory.size_ = bytes;
  memory.data_ = Map(memory.fd_, bytes);
  return memory;
}

SharedMemory SharedMemory::Open(const std::string& address) {
  SharedMemory memory;
  memory.fd_ = open(address.c_str(), O_RDWR | O_CLOEXEC);
  struct stat status {};
  if (memory.fd_ < 0 && errno == ENOENT) {
    Fail(ExitCode::kPeerLost, "the memory of another rank, ", address,
         ", has gone with its process");
  }
  if (memory.fd_ < 0 || fstat(memory.fd_, &status) != 0) {
    FailBy(errno, ExitCode::kConfig, "cannot open the shared memory of another rank, ", address,
           "; all ranks of a node must run as one user");
  }
  memory.size_ = static_cast<std::size_t>(status.st_size);
  memory.data_ = Map(memory.fd_, memory.size_);
  return memory;
}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(fd_, other.fd_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) munmap(data_, size_);
  if (fd_ >= 0) close(fd_);
}

std::string SharedMemory::address() const { return StrCat("/proc/", getpid(), "/fd/", fd_); }

}  // namespace vesalius::dist
