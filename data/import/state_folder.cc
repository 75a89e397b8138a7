#include "data/import/state_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "data/shards/shard_format.h"

namespace vesalius::data {
namespace {

constexpr char kFolder[] = "/.import";
constexpr int kLockTries = 100;  // workers of a killed import may hold the lock a moment longer
constexpr useconds_t kLockWait = 50000;

nlohmann::ordered_json PlanJson(const Importer& importer, const ImportOptions& options,
                                const PartPlan& plan) {
  const Identity identity = importer.identity();
  return {{"importer", importer.name()},
          {"options", identity.options},
          {"input", identity.input},
          {"size", options.size},
          {"items", plan.items},
          {"items_per_part", plan.items_per_part},
          {"schema_version", kSchemaVersion}};
}

}  // namespace

StateFolder::StateFolder(const Importer& importer, const ImportOptions& options,
                         const PartPlan& plan)
    : out_(options.out), folder_(options.out + kFolder) {
  MakeDirs(folder_);
  Lock();
  CheckPlan(importer, options, plan);
}

StateFolder::FolderLock::~FolderLock() {
  if (fd >= 0) ::close(fd);
}

bool StateFolder::In(const std::string& out) { return IsDir(out + kFolder); }

// Forked workers share the lock, so that it is free only when the last of them is gone. A file
// system without locks does without.
void StateFolder::Lock() {
  lock_.fd = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  Require(lock_.fd >= 0, ExitCode::kCannotCreate, folder_,
          " cannot be opened: ", std::strerror(errno));
  for (int attempt = 0; ::flock(lock_.fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
       ++attempt) {
    Require(attempt < kLockTries, ExitCode::kCannotCreate, "another import is writing into ", out_,
            "; wait for it or choose another folder");
    ::usleep(kLockWait);
  }
}

void StateFolder::CheckPlan(const Importer& importer, const ImportOptions& options,
                            const PartPlan& plan) const {
  const std::string path = StrCat(folder_, "/plan.json");
  const auto wanted = PlanJson(importer, options, plan);
  if (!Exists(path)) return WriteFileAtomic(path, wanted.dump(1) + "\n");
  const auto found = nlohmann::ordered_json::parse(ReadFile(path), nullptr, false);
  for (const auto& [key, value] : wanted.items()) {
    if (found.is_object() && found.contains(key) && found[key] == value) continue;
    const bool input = key == "input" || key == "items";
    Fail(ExitCode::kInvalidData, out_, " holds an unfinished import ",
         input ? "of input that has changed since" : "with other options", " (", key,
         " differs); remove ", out_, " to begin anew, or choose another folder");
  }
}

std::string StateFolder::PartPath(std::int64_t part) const {
  char name[40];
  std::snprintf(name, sizeof(name), "/part-%05lld.json", static_cast<long long>(part));
  return folder_ + name;
}

void StateFolder::SweepTemporaries() const {
  for (const std::string& folder : {out_, folder_})
    for (const std::string& name : ListDir(folder))
      if (name.find(".tmp-") != std::string::npos &&
          (folder == folder_ || name.starts_with("shard-") || name.starts_with("manifest.pb") ||
           name.starts_with("quarantine.jsonl")))
        ::unlink(StrCat(folder, "/", name).c_str());
}

void StateFolder::Remove() const {
  RemoveTree(folder_);
  ::rmdir(out_.c_str());
}

}  // namespace vesalius::data
