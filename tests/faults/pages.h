// The pages that the ranks of an attempt write, read from a test beside their agent.
#pragma once

#include "base/agent_watch.h"
#include "base/rank_page.h"
#include "launch/agent/rank_processes.h"
#include "tests/util/program.h"

namespace vesalius::launch {

// Of the newest attempt under an agent of one node with two ranks; `memory`: what that agent keeps
// in memory.
class Pages {
 public:
  explicit Pages(std::string memory) : memory_(std::move(memory)) {}
  std::shared_ptr<const page::Page> Of(int rank) const {
    int newest = 0;
    if (!Exists(memory_)) return nullptr;
    for (const std::string& name : ListDir(memory_))
      if (name.starts_with("pages-")) newest = std::max(newest, std::atoi(name.c_str() + 6));
    return page::Read(PageFolder(memory_, newest), rank);
  }
  // Both ranks have made `steps` steps, and rank 0 is not process `old` any more.
  bool Stepping(std::int64_t steps, pid_t old = 0) const {
    return WaitUntil([&] {
      for (int rank = 0; rank < 2; ++rank)
        if (const auto page = Of(rank); page == nullptr || page->steps < steps || page->pid == old)
          return false;
      return true;
    });
  }

 private:
  const std::string memory_;
};

}  // namespace vesalius::launch
