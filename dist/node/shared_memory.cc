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

char* Map(int fd, std::size_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  Require(data != MAP_FAILED, ExitCode::kNodeUnhealthy, "cannot map ", HumanBytes(bytes),
          " of shared memory: ", std::strerror(errno));
  return static_cast<char*>(data);
}

}  // namespace

SharedMemory SharedMemory::Create(std::size_t bytes) {
  SharedMemory memory;
  memory.fd_ = memfd_create("vesalius", MFD_CLOEXEC);
  Require(memory.fd_ >= 0 && ftruncate(memory.fd_, static_cast<off_t>(bytes)) == 0,
          ExitCode::kNodeUnhealthy, "cannot create ", HumanBytes(bytes),
          " of shared memory: ", std::strerror(errno));
  memory.size_ = bytes;
  memory.data_ = Map(memory.fd_, bytes);
  return memory;
}

SharedMemory SharedMemory::Open(const std::string& address) {
  SharedMemory memory;
  memory.fd_ = open(address.c_str(), O_RDWR | O_CLOEXEC);
  struct stat status {};
  Require(memory.fd_ >= 0 || errno != ENOENT, ExitCode::kPeerLost, "the memory of another rank, ",
          address, ", has gone with its process");
  Require(memory.fd_ >= 0 && fstat(memory.fd_, &status) == 0, ExitCode::kConfig,
          "cannot open the shared memory of another rank, ", address, ": ", std::strerror(errno),
          "; all ranks of a node must run as one user");
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
