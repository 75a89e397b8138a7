#include "launch/agent/slots.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"

namespace vesalius::launch {
namespace {

constexpr std::size_t kPiece = 1 << 20;

// rank-NNNN.a or .b, and nothing that leads out of the folder.
bool IsStem(const std::string& stem) {
  return stem.size() >= 8 && stem.starts_with("rank-") &&
         (stem.ends_with(".a") || stem.ends_with(".b")) &&
         std::all_of(stem.begin() + 5, stem.end() - 2, [](char c) { return c >= '0' && c <= '9'; });
}

std::int64_t TimeOf(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return 0;
  return std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

std::string PathOf(const std::string& folder, const std::string& stem, bool part) {
  return StrCat(folder, "/", stem, part ? ".part" : ".shard");
}

}  // namespace

int Slot::Rank() const { return std::atoi(stem.c_str() + 5); }

std::vector<Slot> ListSlots(const std::string& folder) {
  std::vector<Slot> slots;
  for (const std::string& name : ListDir(folder)) {
    if (!name.ends_with(".part")) continue;
    const std::string stem = name.substr(0, name.size() - 5);
    const std::int64_t time = TimeOf(StrCat(folder, "/", name));
    if (IsStem(stem) && time > 0 && Exists(PathOf(folder, stem, false)))
      slots.push_back({stem, time});
  }
  return slots;
}

bool ReadSlot(const std::string& folder, const Slot& slot,
              const std::function<bool(bool, std::string_view)>& take) {
  std::string buffer(kPiece, '\0');
  for (const bool part : {false, true}) {
    const std::string path = PathOf(folder, slot.stem, part);
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool whole = true;
    ssize_t n = 0;
    while (whole && (n = ::read(fd, buffer.data(), buffer.size())) > 0)
      whole = take(part, {buffer.data(), static_cast<std::size_t>(n)});
    ::close(fd);
    if (!whole || n < 0) return false;
    // The part goes before the shard is written again.
    if (TimeOf(PathOf(folder, slot.stem, true)) != slot.time) return false;
  }
  return true;
}

SlotWriter::SlotWriter(std::string folder, Slot slot)
    : folder_(std::move(folder)), slot_(std::move(slot)) {
  Require(IsStem(slot_.stem), ExitCode::kInvalidData, "'", slot_.stem, "' is no slot of a rank");
  for (const bool part : {false, true}) OutputFile(Incoming(part)).Close();
}

SlotWriter::~SlotWriter() {
  for (const bool part : {false, true}) ::unlink(Incoming(part).c_str());
}

std::string SlotWriter::Incoming(bool part) const {
  return PathOf(folder_, StrCat(".in-", slot_.stem, "-", slot_.time), part);
}

void SlotWriter::Add(bool part, std::string_view data) {
  OutputFile file(Incoming(part), ExitCode::kCannotCreate, /*append=*/true);
  file.Write(data);
  file.Close();
}

void SlotWriter::Finish() {
  const std::string part = PathOf(folder_, slot_.stem, true);
  if (TimeOf(part) >= slot_.time) return;  // a newer one has come
  RemoveTree(part);
  RenamePath(Incoming(false), PathOf(folder_, slot_.stem, false));
  const timespec time{slot_.time / 1'000'000'000, slot_.time % 1'000'000'000};
  const timespec times[] = {time, time};
  ::utimensat(AT_FDCWD, Incoming(true).c_str(), times, 0);
  RenamePath(Incoming(true), part);
}

}  // namespace vesalius::launch
