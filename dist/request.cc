#include "dist/request.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/hash.h"
#include "base/strings.h"

namespace vesalius::dist {
namespace {

const char* Name(Kind kind) {
  switch (kind) {
    case Kind::kAllReduce:
      return "all-reduce";
    case Kind::kAllGather:
      return "all-gather";
    case Kind::kReduceScatter:
      return "reduce-scatter";
    case Kind::kBroadcast:
      return "broadcast";
    case Kind::kBarrier:
      return "barrier";
  }
  return "?";
}

Request MakeRequest(Kind kind, std::string_view name, const void* in, void* out, DType type) {
  Request request;
  request.kind = kind;
  request.name = name;
  request.in = in;
  request.out = out;
  request.type = type;
  return request;
}

}  // namespace

const char* Name(DType type) {
  switch (type) {
    case DType::kFloat32:
      return "float32";
    case DType::kFloat64:
      return "float64";
    case DType::kBFloat16:
      return "bfloat16";
    case DType::kInt32:
      return "int32";
    case DType::kInt64:
      return "int64";
    case DType::kUInt8:
      return "uint8";
  }
  return "?";
}

std::int64_t Request::offset(int r) const {
  return std::accumulate(counts.begin(), counts.begin() + r, std::int64_t{0});
}

std::string Describe(const Request& request) {
  std::string text = StrCat(Name(request.kind), " '", request.name, "' (call ", request.sequence);
  if (request.kind != Kind::kBarrier) text += StrCat(", ", request.count, " ", Name(request.type));
  if (request.kind == Kind::kBroadcast) text += StrCat(" from rank ", request.root);
  return text + ")";
}

Header HeaderOf(const Request& request) {
  Header header;
  const std::string text = Describe(request);
  std::string key = text;
  for (std::int64_t count : request.counts) key += StrCat(",", count);
  header.hash = Hash64(key);
  std::memcpy(header.text, text.data(), std::min(text.size(), sizeof(header.text) - 1));
  return header;
}

void RequireSame(const Header& mine, int my_rank, const Header& theirs, int their_rank) {
  if (mine.hash == theirs.hash) return;
  const bool same_text = std::strncmp(mine.text, theirs.text, sizeof(mine.text)) == 0;
  Fail(ExitCode::kBug, "internal error: ranks disagree: rank ", my_rank, " called ", mine.text,
       ", rank ", their_rank, " called ", theirs.text,
       same_text ? " with other counts by rank" : "");
}

std::vector<std::int64_t> EvenCounts(std::int64_t count, int size) {
  std::vector<std::int64_t> counts(size, count / size);
  for (int r = 0; r < count % size; ++r) ++counts[r];
  return counts;
}

std::string RankList(const std::vector<int>& ranks) {
  std::vector<std::string> names;
  for (int rank : ranks) names.push_back(StrCat(rank));
  return (ranks.size() == 1 ? "rank " : "ranks ") + Join(names, ", ");
}

Ticket RequestCommunicator::Count(Request request, std::int64_t bytes_sent) {
  request.sequence = next_++;
  ++traffic_.calls;
  traffic_.bytes_sent += bytes_sent;
  return Submit(std::move(request));
}

Ticket RequestCommunicator::AllReduce(std::string_view name, void* data, std::int64_t count,
                                      DType type) {
  Request request = MakeRequest(Kind::kAllReduce, name, data, data, type);
  request.count = count;
  const std::int64_t bytes = request.bytes();
  return Count(std::move(request), 2 * bytes * (size() - 1) / size());
}

Ticket RequestCommunicator::AllGather(std::string_view name, const void* in, void* out,
                                      std::span<const std::int64_t> counts, DType type) {
  Invariant(static_cast<int>(counts.size()) == size(), "all-gather '", name, "': ", counts.size(),
            " counts for ", size(), " ranks");
  Request request = MakeRequest(Kind::kAllGather, name, in, out, type);
  request.counts.assign(counts.begin(), counts.end());
  request.count = request.offset(size());
  return Count(std::move(request), counts[rank()] * SizeOf(type) * (size() - 1));
}

Ticket RequestCommunicator::ReduceScatter(std::string_view name, const void* in, void* out,
                                          std::span<const std::int64_t> counts, DType type) {
  Invariant(static_cast<int>(counts.size()) == size(), "reduce-scatter '", name,
            "': ", counts.size(), " counts for ", size(), " ranks");
  Request request = MakeRequest(Kind::kReduceScatter, name, in, out, type);
  request.counts.assign(counts.begin(), counts.end());
  request.count = request.offset(size());
  const std::int64_t sent = request.count - counts[rank()];
  return Count(std::move(request), sent * SizeOf(type));
}

Ticket RequestCommunicator::Broadcast(std::string_view name, void* data, std::int64_t count,
                                      DType type, int root) {
  Invariant(root >= 0 && root < size(), "broadcast '", name, "': no rank ", root);
  Request request = MakeRequest(Kind::kBroadcast, name, data, data, type);
  request.count = count;
  request.root = root;
  const std::int64_t sent = root == rank() ? request.bytes() * (size() - 1) : 0;
  return Count(std::move(request), sent);
}

Ticket RequestCommunicator::Barrier(std::string_view name) {
  return Count(MakeRequest(Kind::kBarrier, name, nullptr, nullptr, DType::kUInt8), 0);
}

}  // namespace vesalius::dist
