// F6: every crash state of a save. The file operations of a real save of four ranks are recorded
// and replayed up to every one of them; of what was not synced by then, names appear or not and
// pages of 4 KiB are there, old or torn, at random. From each such disk the loader must give the
// old checkpoint or the new one, whole, and the new one once the save had been reported as
// committed. VESALIUS_CRASH_STATES sets how many states.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>

#include "base/file.h"
#include "base/hash.h"
#include "base/random.h"
#include "checkpoints/attempt.h"
#include "checkpoints/manifest.h"
#include "tests/checkpoints/fixture.h"
#include "tests/util/temp_dir.h"

namespace vesalius::checkpoints {
namespace {

namespace fs = std::filesystem;

constexpr int kRanks = 4;
constexpr std::size_t kPage = 4096;

struct Operation {
  FileOp op;
  std::string path, from;  // within RUN/ckpt; "" is the folder itself
  std::uint64_t offset = 0;
  std::string data;
};

// What a disk holds: files by path, folders as paths that end with '/'.
struct Disk {
  std::map<std::string, std::string> files;
  std::set<std::string> folders;
};

std::string Parent(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

void MoveTree(Disk* disk, const std::string& from, const std::string& to) {
  for (auto it = disk->files.begin(); it != disk->files.end();) {
    if (it->first != from && !it->first.starts_with(from + "/")) {
      ++it;
      continue;
    }
    disk->files[to + it->first.substr(from.size())] = it->second;
    it = disk->files.erase(it);
  }
  for (const std::string& folder : std::set<std::string>(disk->folders))
    if (folder == from || folder.starts_with(from + "/")) {
      disk->folders.erase(folder);
      disk->folders.insert(to + folder.substr(from.size()));
    }
}

void Erase(Disk* disk, const std::string& path) {
  std::erase_if(disk->files, [&](const auto& file) {
    return file.first == path || file.first.starts_with(path + "/");
  });
  std::erase_if(disk->folders, [&](const std::string& folder) {
    return folder == path || folder.starts_with(path + "/");
  });
}

// The disk after a crash that let operations [0, end) through. What was synced is there; the rest
// is drawn.
Disk Crash(const std::vector<Operation>& operations, std::size_t end, Random& random) {
  // The operation after which a path's bytes, or a folder's names, are safe.
  const auto synced = [&](const std::string& path, std::size_t after) {
    for (std::size_t i = after + 1; i < end; ++i) {
      if (operations[i].op == FileOp::kSync && operations[i].path == path) return true;
      // A folder that is renamed keeps what is in it.
      if (operations[i].op == FileOp::kRename && operations[i].from == path) return false;
    }
    return false;
  };
  Disk disk;
  disk.folders.insert("");
  for (std::size_t i = 0; i < end; ++i) {
    const Operation& now = operations[i];
    const bool named = now.op == FileOp::kOpen || now.op == FileOp::kMakeDir ||
                       now.op == FileOp::kRename || now.op == FileOp::kRemove;
    if (named && !synced(Parent(now.path), i) && random.Below(2) == 0) continue;
    switch (now.op) {
      case FileOp::kMakeDir:
        disk.folders.insert(now.path);
        break;
      case FileOp::kOpen:
        if (disk.folders.contains(Parent(now.path))) disk.files[now.path].clear();
        break;
      case FileOp::kRename:
        if (disk.folders.contains(now.from) || disk.files.contains(now.from))
          MoveTree(&disk, now.from, now.path);
        break;
      case FileOp::kRemove:
        Erase(&disk, now.path);
        break;
      case FileOp::kWrite: {
        const auto file = disk.files.find(now.path);
        if (file == disk.files.end()) break;
        const bool safe = synced(now.path, i);
        for (std::size_t at = 0; at < now.data.size(); at += kPage) {
          const std::size_t bytes = std::min(kPage, now.data.size() - at);
          const std::uint64_t fate = safe ? 0 : random.Below(4);
          if (fate == 1) continue;  // never written; zeros if something behind it was
          if (file->second.size() < now.offset + at + bytes)
            file->second.resize(now.offset + at + bytes, '\0');
          if (fate == 2) continue;  // the length grew, the bytes did not come
          const std::size_t part = fate == 3 ? random.Below(bytes) : bytes;
          file->second.replace(now.offset + at, part, now.data, at, part);
        }
        break;
      }
      default:
        break;
    }
  }
  return disk;
}

void Build(const Disk& disk, const std::string& checkpoints) {
  for (const std::string& folder : disk.folders) fs::create_directories(checkpoints + "/" + folder);
  for (const auto& [path, content] : disk.files) {
    std::ofstream file(checkpoints + "/" + path, std::ios::binary);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
  }
}

std::string Print(const Disk& disk) {
  Digest digest;
  for (const std::string& folder : disk.folders) digest.Add(folder);
  for (const auto& [path, content] : disk.files) {
    digest.Add(path);
    digest.Add(content);
  }
  return digest.Hex();
}

// A save of step 2 over step 1, all operations in order, paths within RUN/ckpt; `committed` is how
// many there were when it had been reported.
std::vector<Operation> RecordSave(const std::string& run, std::size_t* committed) {
  const auto attempt = Attempt::Acquire(run);
  ExpectAll(SaveStep(run, attempt.get(), 1, kRanks), ExitCode::kFinished);
  std::mutex mutex;
  std::vector<Operation> operations;
  const std::string folder = run + "/ckpt";
  const auto inside = [&](const std::string& path) {
    return path.size() > folder.size() ? path.substr(folder.size() + 1) : "";
  };
  SetFileLog([&](const FileEvent& event) {
    if (!event.path.starts_with(folder)) return;
    const std::lock_guard lock(mutex);
    operations.push_back({event.op, inside(event.path), inside(event.from), event.offset,
                          std::string(static_cast<const char*>(event.data), event.bytes)});
  });
  ExpectAll(SaveStep(run, attempt.get(), 2, kRanks), ExitCode::kFinished);
  SetFileLog(nullptr);
  *committed = operations.size();
  return operations;
}

// What is wrong with the disk under `run`; "" for nothing.
std::string Judge(const std::string& run, bool must_be_new) {
  try {
    std::vector<std::string> skipped;
    const std::string found = ResolveStep(run, &skipped);
    if (!skipped.empty()) return "a visible step is damaged: " + skipped[0];
    const std::int64_t step = Reader(found).info().step;
    if (must_be_new && step != 2) return "a committed step is gone";
    for (int rank = 0; rank < 2; ++rank) {
      const State expected = MakeState(step, rank, 2);
      const Reader reader(found);
      for (const TensorView& view : expected.views) {
        std::vector<char> bytes(view.bytes);
        TensorView out = view;
        out.data = bytes.data();
        reader.Read(out);
        if (view.bytes > 0 && std::memcmp(bytes.data(), view.data, view.bytes) != 0)
          return "other values in " + view.meta.name;
      }
    }
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

struct Findings {
  std::size_t states = 0, old_step = 0, new_step = 0;
  std::vector<std::string> wrong;
};

// A folder in memory where there is one: ten thousand disks are built in it.
std::string FastFolder() {
  std::string path = fs::exists("/dev/shm") ? "/dev/shm/vesalius-XXXXXX" : "/tmp/vesalius-XXXXXX";
  return mkdtemp(path.data());
}

Findings Explore(std::size_t states) {
  const std::string dir = FastFolder();
  const std::string saved = dir + "/saved", crashed = dir + "/crashed";
  std::size_t committed = 0;
  const std::vector<Operation> operations = RecordSave(saved, &committed);
  Random random(11, Purpose::kTest);
  Findings found;
  for (std::size_t end = 0; end <= operations.size(); ++end) {
    // A short prefix has few states; the ones after it make up for that.
    const std::size_t quota = (states - found.states) / (operations.size() + 1 - end) + 1;
    std::set<std::string> seen;
    for (std::size_t tries = 0; tries < 8 * quota && seen.size() < quota; ++tries) {
      const Disk disk = Crash(operations, end, random);
      if (!seen.insert(Print(disk)).second) continue;
      fs::remove_all(crashed);
      fs::create_directories(crashed + "/ckpt");
      fs::create_directory_symlink(saved + "/ckpt/" + StepName(1),
                                   crashed + "/ckpt/" + StepName(1));
      Build(disk, crashed + "/ckpt");
      const std::string wrong = Judge(crashed, end == committed);
      if (!wrong.empty())
        found.wrong.push_back("after operation " + std::to_string(end) + ": " + wrong);
      (ListSteps(crashed).size() == 2 ? found.new_step : found.old_step) += 1;
    }
    found.states += seen.size();
  }
  fs::remove_all(dir);
  return found;
}

std::size_t StatesWanted() {
  const char* given = std::getenv("VESALIUS_CRASH_STATES");
  return given != nullptr ? static_cast<std::size_t>(std::atoll(given)) : 10'000;
}

TEST(F06_CrashStates, TheLoaderGivesTheOldOrTheNewCheckpoint) {
  const Findings found = Explore(StatesWanted() * 8 / 5);  // short prefixes have not so many
  std::printf("%zu crash states: %zu with the old step, %zu with the new one, %zu wrong\n",
              found.states, found.old_step, found.new_step, found.wrong.size());
  EXPECT_GE(found.states, StatesWanted());
  EXPECT_GT(found.old_step, 0u);
  EXPECT_GT(found.new_step, 0u);
  EXPECT_TRUE(found.wrong.empty()) << found.wrong[0];
}

TEST(F06_CrashStates, WithoutSyncsTheyAreFoundWrong) {
  const Without sync(Protection::kSync);
  EXPECT_FALSE(Explore(1000).wrong.empty());
}

}  // namespace
}  // namespace vesalius::checkpoints
