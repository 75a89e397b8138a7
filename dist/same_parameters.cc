#include "dist/same_parameters.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/strings.h"

namespace vesalius::dist {

void RequireSameParameters(Communicator& comm,
                           const std::vector<std::pair<std::string, at::Tensor>>& parameters) {
  std::vector<std::string> mine;
  for (const auto& [name, tensor] : parameters) {
    mine.push_back(StrCat(name, " ", tensor.sizes(), " ", at::toString(tensor.scalar_type())));
  }
  const std::string text = Join(mine, "\n");
  const auto hashes = AllGatherBytes(comm, "hash of the parameter list", Hex64(Hash64(text)));
  bool same = true;
  for (const std::string& hash : hashes) same = same && hash == hashes[0];
  if (same) return;
  const auto lists = AllGatherBytes(comm, "parameter list", text);
  const std::vector<std::string> first = Split(lists[0], '\n');
  for (int r = 1; r < comm.size(); ++r) {
    if (lists[r] == lists[0]) continue;
    const std::vector<std::string> other = Split(lists[r], '\n');
    std::size_t i = 0;
    while (i < first.size() && i < other.size() && first[i] == other[i]) ++i;
    Fail(ExitCode::kConfig, "ranks hold different models: parameter ", i, " is ",
         i < first.size() ? first[i] : "absent", " on rank 0 and ",
         i < other.size() ? other[i] : "absent", " on rank ", r,
         "; start every rank with the same program and configuration");
  }
}

}  // namespace vesalius::dist
