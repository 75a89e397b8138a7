#include "base/file_hooks.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace vesalius {
namespace {

FileFault g_fault;
FileLog g_log;

}  // namespace

void SetFileFault(FileFault fault) { g_fault = std::move(fault); }
void SetFileLog(FileLog log) { g_log = std::move(log); }

namespace file_hooks {

int Fault(FileOp op, const std::string& path) {
  return g_fault ? std::max(g_fault(op, path), 0) : 0;
}

long Allowed(const std::string& path, std::size_t bytes) {
  const int fault = g_fault ? g_fault(FileOp::kWrite, path) : 0;
  if (fault > 0) {
    errno = fault;
    return -1;
  }
  return static_cast<long>(fault < 0 ? std::min(bytes, static_cast<std::size_t>(-fault)) : bytes);
}

void Log(FileOp op, const std::string& path, std::uint64_t offset, const void* data,
         std::size_t bytes) {
  if (g_log) g_log({op, path, path, offset, data, bytes});
}

void LogRename(const std::string& from, const std::string& to) {
  if (g_log) g_log({FileOp::kRename, to, from});
}

}  // namespace file_hooks
}  // namespace vesalius
