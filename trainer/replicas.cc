#include "trainer/replicas.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/strings.h"
#include "dist/tensor.h"

namespace vesalius::trainer {
namespace {

// Sum of the 32-bit words modulo 2^64: one flipped bit always changes it.
at::Tensor BitSum(const at::Tensor& tensor) {
  return tensor.detach().contiguous().flatten().view(at::kInt).sum(at::kLong);
}

std::vector<std::int64_t> BitSums(const std::vector<model::ParameterInfo>& parameters) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> sums;
  for (const auto& parameter : parameters) sums.push_back(BitSum(parameter.tensor));
  const at::Tensor all = at::stack(sums).to(at::kCPU);
  const auto* data = all.const_data_ptr<std::int64_t>();
  return {data, data + all.numel()};
}

}  // namespace

ReplicaCheck CompareReplicas(const std::vector<model::ParameterInfo>& parameters,
                             dist::Communicator& comm) {
  const std::vector<std::int64_t> mine = BitSums(parameters);
  std::uint64_t total = 0;
  for (const std::int64_t sum : mine) total = total * 31 + static_cast<std::uint64_t>(sum);
  const std::string packed(reinterpret_cast<const char*>(&total), sizeof(total));
  const std::vector<std::string> totals = dist::AllGatherBytes(comm, "replica sum", packed);
  if (std::ranges::all_of(totals, [&](const std::string& other) { return other == totals[0]; }))
    return {};
  const std::string detail(reinterpret_cast<const char*>(mine.data()),
                           mine.size() * sizeof(mine[0]));
  std::vector<std::vector<std::int64_t>> sums;
  for (const std::string& theirs : dist::AllGatherBytes(comm, "replica sums", detail)) {
    sums.emplace_back(mine.size());
    std::memcpy(sums.back().data(), theirs.data(), std::min(theirs.size(), detail.size()));
  }
  std::vector<std::string> names;
  for (const auto& parameter : parameters) names.push_back(parameter.name);
  return JudgeSums(sums, names);
}

ReplicaCheck JudgeSums(const std::vector<std::vector<std::int64_t>>& sums,
                       const std::vector<std::string>& names) {
  std::map<std::vector<std::int64_t>, std::vector<int>> groups;
  for (std::size_t rank = 0; rank < sums.size(); ++rank)
    groups[sums[rank]].push_back(static_cast<int>(rank));
  ReplicaCheck check;
  if (groups.size() <= 1) return check;
  check.equal = false;
  for (std::size_t t = 0; t < names.size() && check.tensor.empty(); ++t)
    for (const auto& of_rank : sums)
      if (of_rank[t] != sums[0][t]) check.tensor = names[t];
  const auto most =
      std::ranges::max_element(groups, {}, [](const auto& group) { return group.second.size(); });
  if (2 * most->second.size() > sums.size()) {
    for (const auto& [key, ranks] : groups)
      if (key != most->first) check.wrong.insert(check.wrong.end(), ranks.begin(), ranks.end());
    std::ranges::sort(check.wrong);
    std::vector<std::string> ranks;
    for (const int rank : check.wrong) ranks.push_back(std::to_string(rank));
    check.text = StrCat("the parameters of rank ", Join(ranks, ", "),
                        " differ from those of the others, first in ", check.tensor);
  } else {
    check.text = StrCat("the ranks' parameters differ, first in ", check.tensor, "; of ",
                        sums.size(), " ranks no majority says which are wrong");
  }
  return check;
}

}  // namespace vesalius::trainer
