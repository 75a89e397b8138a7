#include "checkpoints/plan.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

namespace vesalius::checkpoints {
namespace {

struct Job {
  int tensor = 0;
  std::uint64_t bytes = 0;
  std::vector<int> holders;  // ascending ranks
};

}  // namespace

std::vector<std::vector<int>> AssignWriters(const std::vector<std::vector<Box>>& held,
                                            const std::vector<std::size_t>& items) {
  std::vector<Job> jobs;
  for (std::size_t tensor = 0; tensor < items.size(); ++tensor) {
    std::map<Box, std::vector<int>> holders;
    for (std::size_t rank = 0; rank < held.size(); ++rank)
      if (Volume(held[rank][tensor].extent) > 0)
        holders[held[rank][tensor]].push_back(static_cast<int>(rank));
    for (auto& [box, ranks] : holders)
      jobs.push_back({static_cast<int>(tensor),
                      static_cast<std::uint64_t>(Volume(box.extent)) * items[tensor],
                      std::move(ranks)});
  }
  std::stable_sort(jobs.begin(), jobs.end(),
                   [](const Job& a, const Job& b) { return a.bytes > b.bytes; });
  std::vector<std::uint64_t> load(held.size(), 0);
  std::vector<std::vector<int>> writes(held.size());
  for (const Job& job : jobs) {
    const int writer = *std::min_element(job.holders.begin(), job.holders.end(),
                                         [&](int a, int b) { return load[a] < load[b]; });
    load[writer] += job.bytes;
    writes[writer].push_back(job.tensor);
  }
  for (auto& tensors : writes) std::sort(tensors.begin(), tensors.end());
  return writes;
}

}  // namespace vesalius::checkpoints
