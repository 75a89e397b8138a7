#include "dist/table/tiered_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/error.h"

namespace vesalius::dist {
namespace {

std::size_t RoundUp(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

// Maps `bytes` of a new, nameless file at `where`.
void MapFile(void* where, std::size_t bytes) {
  const char* configured = std::getenv("TMPDIR");
  const std::string folder = configured == nullptr ? "/tmp" : configured;
  std::string path = folder + "/vesalius-table-XXXXXX";
  const int fd = mkostemp(path.data(), O_CLOEXEC);
  Require(fd >= 0, ExitCode::kCannotCreate, path, ": ", std::strerror(errno),
          "; a table's slow rows need a writable folder (TMPDIR)");
  unlink(path.c_str());
  const int refused = posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  const void* mapped =
      refused != 0 ? nullptr
                   : mmap(where, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
  const int error = refused != 0 ? refused : errno;
  close(fd);
  Require(mapped == where, ExitCode::kCannotCreate, folder, " has no room for ", HumanBytes(bytes),
          " of a table's slow rows: ", std::strerror(error),
          "; set TMPDIR to a larger file system or raise the table's budget");
}

}  // namespace

TieredMemory::TieredMemory(std::size_t bytes, std::size_t fast_bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  mapped_ = RoundUp(bytes, page);
  data_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Require(data_ != MAP_FAILED, ExitCode::kCannotCreate, "cannot map ", HumanBytes(bytes),
          " for a table: ", std::strerror(errno));
  const std::size_t fast = RoundUp(std::min(bytes, fast_bytes), page);
  madvise(data_, fast, MADV_HUGEPAGE);
  if (fast < mapped_) {
    slow_bytes_ = mapped_ - fast;
    try {
      MapFile(static_cast<char*>(data_) + fast, slow_bytes_);
    } catch (...) {
      munmap(data_, mapped_);
      throw;
    }
  }
}

TieredMemory::~TieredMemory() {
  if (data_ != nullptr) munmap(data_, mapped_);
}

}  // namespace vesalius::dist
