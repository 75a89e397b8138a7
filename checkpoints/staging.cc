#include "checkpoints/staging.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/direct_file.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace vesalius::checkpoints {
namespace {

constexpr const char* kThisRank = "this rank";

[[noreturn]] void NoRoom(std::uint64_t bytes, const std::string& who, const std::string& reason) {
  Fail(ExitCode::kCannotSave, "a save needs ", HumanBytes(bytes), " of memory on ", who, ": ",
       reason, "; use more ranks, dist.exchange=zero1, or a machine with more memory");
}

char* MapPrivate(std::uint64_t bytes) {
  RequireMemory(bytes, AvailableMemory(), kThisRank);
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) NoRoom(bytes, kThisRank, std::strerror(errno));
  ::madvise(data, bytes, MADV_HUGEPAGE);
  return static_cast<char*>(data);
}

char* MapFile(const std::string& path, std::uint64_t bytes) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) NoRoom(bytes, StrCat(kThisRank, " in ", path), std::strerror(errno));
  // Taken now, so that a full tmpfs is an error here and not a SIGBUS in the copy.
  int error = ::ftruncate(fd, static_cast<off_t>(bytes)) != 0 ? errno : 0;
  if (error == 0) error = ::posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  void* data = MAP_FAILED;
  if (error == 0) {
    data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) error = errno;
  }
  ::close(fd);
  if (error != 0) {
    ::unlink(path.c_str());
    NoRoom(bytes, StrCat(kThisRank, " in ", path), std::strerror(error));
  }
  return static_cast<char*>(data);
}

}  // namespace

std::uint64_t AvailableMemory() {
  const std::string text = ReadFile("/proc/meminfo");
  const std::size_t at = text.find("MemAvailable:");
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + 13, nullptr, 10) << 10;
}

void RequireMemory(std::uint64_t bytes, std::uint64_t available, const std::string& who) {
  if (available > 0 && bytes > available)
    NoRoom(bytes, who, StrCat("there are ", HumanBytes(available)));
}

Staging::Staging(StagingOptions options)
    : options_(std::move(options)), in_turn_(!options_.memory_folder.empty()) {
  const std::string& folder = options_.memory_folder;
  if (folder.empty()) return;
  // What the run does not go on from is not to be found by a later start.
  for (int slot = 0; slot < kMemorySlots; ++slot) {
    if (options_.keep_step >= 0 && StepInSlot(folder, options_.rank, slot) == options_.keep_step)
      slot_ = slot;
    else
      RemoveTree(MemoryPart(folder, options_.rank, slot));
  }
}

Staging::~Staging() {
  for (Buffer& buffer : buffers_) Unmap(&buffer);
}

void Staging::Unmap(Buffer* buffer) {
  if (buffer->data != nullptr) ::munmap(buffer->data, buffer->bytes);
  *buffer = {};
}

void Staging::Map(int slot) {
  Buffer& buffer = buffers_[static_cast<std::size_t>(slot)];
  if (buffer.bytes >= bytes_) return;
  Unmap(&buffer);
  if (options_.memory_folder.empty()) {
    buffer.data = MapPrivate(bytes_);
  } else {
    RemoveTree(MemoryPart(options_.memory_folder, options_.rank, slot));
    buffer.data = MapFile(MemoryShard(options_.memory_folder, options_.rank, slot), bytes_);
  }
  buffer.bytes = bytes_;
  std::memset(buffer.data, 0, bytes_);
}

std::uint64_t Staging::Plan(std::uint64_t bytes) {
  Require(options_.host_bytes == 0 || bytes <= options_.host_bytes, ExitCode::kConfig, "rank ",
          options_.rank, " has ", HumanBytes(bytes),
          " to stage in a save and checkpoint.host_mb allows ", HumanBytes(options_.host_bytes),
          "; raise it, use more ranks, or dist.exchange=zero1");
  bytes_ = std::max(bytes_, (bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment);
  ProvideSlot(/*begins=*/false);
  const bool has = buffers_[static_cast<std::size_t>(NextSlot())].bytes >= bytes_;
  return has || !options_.memory_folder.empty() ? 0 : bytes_;
}

void Staging::Reserve() { Provide(/*begins=*/false); }

// A slot for the next save, or none and no folder any more. Where it is the slot of the last one,
// that state stays until the save begins.
void Staging::ProvideSlot(bool begins) {
  const std::string& folder = options_.memory_folder;
  while (bytes_ > 0 && !folder.empty()) {
    if (!in_turn_ && !begins && StepInSlot(folder, options_.rank, slot_) >= 0) return;
    try {
      return Map(NextSlot());
    } catch (const Error& error) {
      log::Warning("rank ", options_.rank, " keeps ", in_turn_ ? "one state" : "no state",
                   " in memory: ", error.what());
      if (!std::exchange(in_turn_, false)) options_.memory_folder.clear();
    }
  }
}

// A buffer for the next save.
void Staging::Provide(bool begins) {
  ProvideSlot(begins);
  if (bytes_ > 0 && options_.memory_folder.empty()) Map(NextSlot());
}

char* Staging::Begin() {
  Provide(/*begins=*/true);
  slot_ = NextSlot();
  if (!options_.memory_folder.empty())
    RemoveTree(MemoryPart(options_.memory_folder, options_.rank, slot_));
  return buffers_[static_cast<std::size_t>(slot_)].data;
}

void Staging::Publish(const std::string& part) {
  if (options_.memory_folder.empty()) return;
  const std::string path = MemoryPart(options_.memory_folder, options_.rank, slot_);
  OutputFile file(path + ".tmp", ExitCode::kCannotSave);
  file.Write(part);
  file.Close();
  RenamePath(path + ".tmp", path, ExitCode::kCannotSave);
}

void Staging::Prepare() { Provide(/*begins=*/false); }

}  // namespace vesalius::checkpoints
