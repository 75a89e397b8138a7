// OUT/.import: what an import that is not finished keeps beside its shards, and the lock that keeps
// a second one out. Removed when the data set is complete.
#pragma once

#include <cstdint>
#include <string>

#include "data/import/importer.h"
#include "data/import/parts.h"

namespace vesalius::data {

class StateFolder {
 public:
  // Opens or makes `out`/.import and locks it. What lies there must have been made with the same
  // plan: else Error(kInvalidData) that says what is different. Another import that holds the lock:
  // Error(kCannotCreate).
  StateFolder(const Importer& importer, const ImportOptions& options, const PartPlan& plan);
  static bool In(const std::string& out);

  std::string PartPath(std::int64_t part) const;
  // Everything that a killed process left half written, here and beside the shards.
  void SweepTemporaries() const;
  // Removes the folder; `out` too when nothing else is in it.
  void Remove() const;

 private:
  // Held until it is gone.
  struct FolderLock {
    int fd = -1;
    ~FolderLock();
  };

  void Lock();
  void CheckPlan(const Importer& importer, const ImportOptions& options,
                 const PartPlan& plan) const;

  std::string out_, folder_;
  FolderLock lock_;
};

}  // namespace vesalius::data
