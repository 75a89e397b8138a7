#include "dist/request.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/rank_page.h"
#include "base/strings.h"
#include "dist/fault_hook.h"

namespace vesalius::dist {
namespace {

std::int64_t Sum(std::span<const std::int64_t> counts) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

Request MakeRequest(Kind kind, std::string_view name, const void* in, void* out, DType type,
                    CallSite site) {
  Request request;
  request.kind = kind;
  request.name = name;
  request.in = in;
  request.out = out;
  request.type = type;
  request.site = site;
  return request;
}

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

std::int64_t Request::offset(int r) const {
  return std::accumulate(counts.begin(), counts.begin() + r, std::int64_t{0});
}

std::int64_t Request::receive_offset(int r) const {
  return std::accumulate(receive_counts.begin(), receive_counts.begin() + r, std::int64_t{0});
}

void CountTime(const Request& request, Clock::time_point begin, Clock::time_point met,
               Clock::time_point end) {
  request.meter->Add(request.kind,
                     {.seconds = Seconds(end - met),
                      .seconds_waiting = Seconds(met - begin),
                      .seconds_exposed = request.patient ? Seconds(end - request.start) : 0});
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

std::int64_t BytesBetweenNodes(const Request& request, const Topology& topology) {
  const std::int64_t nodes = topology.node_count;
  const std::int64_t bytes = static_cast<std::int64_t>(request.bytes());
  const auto counted = [&](bool here) {
    std::int64_t elements = 0;
    for (std::size_t r = 0; r < request.counts.size(); ++r) {
      if ((topology.node_of[r] == topology.node) == here) elements += request.counts[r];
    }
    return elements * static_cast<std::int64_t>(SizeOf(request.type));
  };
  switch (request.kind) {
    case Kind::kAllReduce:
      return 2 * bytes * (nodes - 1) / nodes / topology.node_size;
    case Kind::kAllGather:
      return counted(true) * (nodes - 1) / topology.node_size;
    case Kind::kReduceScatter:
      return counted(false) / topology.node_size;
    case Kind::kBroadcast:
      return topology.node_of[request.root] == topology.node
                 ? bytes * (nodes - 1) / topology.node_size
                 : 0;
    case Kind::kAllToAll:
    case Kind::kSendReceive:
      return counted(false);
    case Kind::kBarrier:
      return 0;
  }
  return 0;
}

Members MembersOfOneNode(int rank, int size) {
  Members members{rank, std::vector<int>(size), std::vector<int>(size, 0)};
  std::iota(members.names.begin(), members.names.end(), 0);
  return members;
}

Topology TopologyOf(const Members& members) {
  Topology topology;
  std::vector<int> seen;
  for (int node : members.nodes) {
    const auto found = std::ranges::find(seen, node);
    topology.node_of.push_back(static_cast<int>(found - seen.begin()));
    if (found == seen.end()) seen.push_back(node);
  }
  topology.node_count = static_cast<int>(seen.size());
  topology.node = topology.node_of[members.rank];
  const auto same = [&](auto begin, auto end) {
    return static_cast<int>(std::count(begin, end, topology.node));
  };
  topology.node_size = same(topology.node_of.begin(), topology.node_of.end());
  topology.node_rank = same(topology.node_of.begin(), topology.node_of.begin() + members.rank);
  return topology;
}

RequestCommunicator::RequestCommunicator(Members members, std::shared_ptr<TrafficMeter> whole)
    : members_(std::move(members)),
      topology_(TopologyOf(members_)),
      meter_(std::make_shared<TrafficMeter>(std::move(whole))) {}

void RequestCommunicator::Enter(Request& request, std::int64_t bytes_sent) {
  request.sequence = next_++;
  request.number = page::Collective(request.name);
  request.header = HeaderOf(request);
  ring_.Add(request.header);
  request.meter = meter_;
  request.dies_inside = DiesInside(members_.names[members_.rank]);
  request.start = Clock::now();
  meter_->Add(request.kind, {.calls = 1, .bytes_sent = bytes_sent});
}

Ticket RequestCommunicator::Start(Request request, std::int64_t bytes_sent) {
  Enter(request, bytes_sent);
  const Kind kind = request.kind;
  const std::uint64_t number = request.number;
  return Ticket(Submit(std::move(request)), meter_, kind, number);
}

void RequestCommunicator::Perform(Request request) {
  request.patient = false;  // the ticket counts the wait
  const Kind kind = request.kind;
  Ticket(Submit(std::move(request)), meter_, kind).Wait();
}

void RequestCommunicator::RequireCounts(Kind kind, std::string_view name,
                                        std::size_t counts) const {
  Invariant(static_cast<int>(counts) == size(), Name(kind), " '", name, "': ", counts,
            " counts for ", size(), " ranks");
}

Ticket RequestCommunicator::AllReduce(std::string_view name, void* data, std::int64_t count,
                                      DType type, CallSite site) {
  Request request = MakeRequest(Kind::kAllReduce, name, data, data, type, site);
  request.count = count;
  const std::int64_t sent = AllReduceBytes(request);
  return Start(std::move(request), sent);
}

void RequestCommunicator::AllReduceNow(std::string_view name, void* data, std::int64_t count,
                                       DType type, CallSite site) {
  Request request = MakeRequest(Kind::kAllReduce, name, data, data, type, site);
  request.count = count;
  request.patient = true;
  Enter(request, AllReduceBytes(request));
  const page::Waiting waiting(request.number);
  Perform(std::move(request));
}

std::int64_t RequestCommunicator::AllReduceBytes(const Request& request) const {
  return 2 * static_cast<std::int64_t>(request.bytes()) * (size() - 1) / size();
}

Ticket RequestCommunicator::AllGather(std::string_view name, const void* in, void* out,
                                      std::span<const std::int64_t> counts, DType type,
                                      CallSite site) {
  RequireCounts(Kind::kAllGather, name, counts.size());
  Request request = MakeRequest(Kind::kAllGather, name, in, out, type, site);
  request.counts.assign(counts.begin(), counts.end());
  request.count = Sum(counts);
  return Start(std::move(request), counts[rank()] * SizeOf(type) * (size() - 1));
}

Ticket RequestCommunicator::ReduceScatter(std::string_view name, const void* in, void* out,
                                          std::span<const std::int64_t> counts, DType type,
                                          CallSite site) {
  RequireCounts(Kind::kReduceScatter, name, counts.size());
  Request request = MakeRequest(Kind::kReduceScatter, name, in, out, type, site);
  request.counts.assign(counts.begin(), counts.end());
  request.count = Sum(counts);
  const std::int64_t sent = request.count - counts[rank()];
  return Start(std::move(request), sent * SizeOf(type));
}

Ticket RequestCommunicator::Broadcast(std::string_view name, void* data, std::int64_t count,
                                      DType type, int root, CallSite site) {
  Invariant(root >= 0 && root < size(), "broadcast '", name, "': no rank ", root);
  Request request = MakeRequest(Kind::kBroadcast, name, data, data, type, site);
  request.count = count;
  request.root = root;
  const std::int64_t sent = root == rank() ? request.bytes() * (size() - 1) : 0;
  return Start(std::move(request), sent);
}

Ticket RequestCommunicator::AllToAll(std::string_view name, const void* in,
                                     std::span<const std::int64_t> send_counts, void* out,
                                     std::span<const std::int64_t> receive_counts, DType type,
                                     CallSite site) {
  RequireCounts(Kind::kAllToAll, name, send_counts.size());
  RequireCounts(Kind::kAllToAll, name, receive_counts.size());
  Request request = MakeRequest(Kind::kAllToAll, name, in, out, type, site);
  request.counts.assign(send_counts.begin(), send_counts.end());
  request.receive_counts.assign(receive_counts.begin(), receive_counts.end());
  request.count = Sum(send_counts);
  const std::int64_t sent = request.count - send_counts[rank()];
  return Start(std::move(request), sent * SizeOf(type));
}

Ticket RequestCommunicator::SendReceive(std::string_view name, const void* in,
                                        std::int64_t send_count, int to, void* out,
                                        std::int64_t receive_count, int from, DType type,
                                        CallSite site) {
  for (int other : {to, from}) {
    Invariant(other >= -1 && other < size(), "send/receive '", name, "': no rank ", other);
  }
  Request request = MakeRequest(Kind::kSendReceive, name, in, out, type, site);
  request.counts.assign(size(), 0);
  request.receive_counts.assign(size(), 0);
  if (to >= 0) request.counts[to] = send_count;
  if (from >= 0) request.receive_counts[from] = receive_count;
  request.count = to >= 0 ? send_count : 0;
  const std::int64_t sent = to == rank() ? 0 : request.count;
  return Start(std::move(request), sent * SizeOf(type));
}

Ticket RequestCommunicator::Barrier(std::string_view name, CallSite site) {
  return Start(MakeRequest(Kind::kBarrier, name, nullptr, nullptr, DType::kUInt8, site), 0);
}

std::unique_ptr<Communicator> RequestCommunicator::Split(std::string_view name, int color,
                                                         CallSite site) {
  std::vector<std::int64_t> colors(size(), 0);
  colors[rank()] = color;
  dist::AllReduceNow(*this, name, colors, site);
  Members part;
  for (int r = 0; r < size() && color >= 0; ++r) {
    if (colors[r] != color) continue;
    if (r == rank()) part.rank = part.size();
    part.names.push_back(members_.names[r]);
    part.nodes.push_back(members_.nodes[r]);
  }
  return MakeSplit(std::string(name), color, std::move(part), site);
}

void RequestCommunicator::CompareOrder() {
  RequireSameOrder(GatherAside(ring_.Encode()), members_.names);
}

std::vector<std::string> RequestCommunicator::GatherAside(const std::string& mine) {
  return AllGatherBytes(*this, "last calls", mine);
}

std::vector<std::string> RequestCommunicator::GatherInPart(const std::string& name,
                                                           const std::string& mine,
                                                           const Members& part, CallSite site) {
  const std::vector<std::string> all = AllGatherBytes(*this, name, mine, site);
  std::vector<std::string> texts;
  for (int member : part.names) {
    texts.push_back(all[std::ranges::find(members_.names, member) - members_.names.begin()]);
  }
  return texts;
}

}  // namespace vesalius::dist
