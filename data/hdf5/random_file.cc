#include "data/hdf5/random_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace vesalius::data {

RandomFile::RandomFile(const std::string& path)
    : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  Require(fd_ >= 0, ExitCode::kInputMissing, path, " cannot be opened: ", std::strerror(errno));
  struct stat status {};
  if (::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(fd_);
    Fail(ExitCode::kInputMissing, path, " is no regular file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
  modified_ns_ = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
}

RandomFile::~RandomFile() { ::close(fd_); }

void RandomFile::Read(std::uint64_t offset, void* out, std::size_t bytes) const {
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t n = ::pread(fd_, static_cast<char*>(out) + done, bytes - done,
                              static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    Require(n > 0, ExitCode::kInvalidData, path_, " cannot be read at ", offset + done, ": ",
            n < 0 ? std::strerror(errno) : "the file ends before it");
    done += static_cast<std::size_t>(n);
  }
}

}  // namespace vesalius::data
