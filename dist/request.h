// One collective as plain data, and the base of the backends: they receive every call of the
// interface as a Request, numbered, checked, counted and with its fingerprint.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dist/communicator.h"
#include "dist/fingerprint.h"
#include "dist/order_ring.h"

namespace vesalius::dist {

using Clock = std::chrono::steady_clock;

struct Request {
  Kind kind = Kind::kBarrier;
  std::string name;
  const void* in = nullptr;
  void* out = nullptr;
  std::int64_t count = 0;  // elements in all: of `out` when gathering, else of `in`
  // By rank: what it gives (all-gather), takes (reduce-scatter), is sent (all-to-all and
  // send/receive).
  std::vector<std::int64_t> counts;
  std::vector<std::int64_t> receive_counts;  // by rank: all-to-all and send/receive
  DType type = DType::kUInt8;
  int root = 0;
  std::uint64_t sequence = 0;  // number of the call on its communicator
  std::uint64_t number = 0;    // of all calls of this process (base/rank_page.h)
  CallSite site;
  Header header;                        // of the above
  bool dies_inside = false;             // fault_hook.h
  bool patient = false;                 // the caller waits: worth polling longer before sleeping
  std::shared_ptr<TrafficMeter> meter;  // where what happens is counted
  Clock::time_point start;              // of the call

  std::size_t bytes() const { return static_cast<std::size_t>(count) * SizeOf(type); }
  // Where rank r's part begins, in elements.
  std::int64_t offset(int r) const;
  std::int64_t receive_offset(int r) const;
};

inline std::string Describe(const Request& request) { return Describe(request.header); }

// Counts what became of a request whose ranks had all arrived at `met`; of a patient one also the
// caller's wait.
void CountTime(const Request& request, Clock::time_point begin, Clock::time_point met,
               Clock::time_point end);

// `count` elements split over `size` ranks as evenly as can be; the first ranks take the remainder.
std::vector<std::int64_t> EvenCounts(std::int64_t count, int size);

// Names of ranks for messages: "rank 2" or "ranks 1, 2".
std::string RankList(const std::vector<int>& ranks);

// The ranks of a communicator.
struct Members {
  int rank = 0;            // this one
  std::vector<int> names;  // by rank: its number in the whole job, which messages say
  std::vector<int> nodes;  // by rank: the node it is on, by any numbering
  int size() const { return static_cast<int>(names.size()); }
};
// What a bandwidth-optimal exchange on two levels sends from this rank to other nodes, on average
// over the ranks of its node: where it cannot be counted.
std::int64_t BytesBetweenNodes(const Request& request, const Topology& topology);

Members MembersOfOneNode(int rank, int size);
Topology TopologyOf(const Members& members);

// Turns the interface's calls into requests.
class RequestCommunicator : public Communicator {
 public:
  explicit RequestCommunicator(Members members, std::shared_ptr<TrafficMeter> whole = nullptr);
  int rank() const final { return members_.rank; }
  int size() const final { return members_.size(); }
  const Topology& topology() const final { return topology_; }

  Ticket AllReduce(std::string_view name, void* data, std::int64_t count, DType type,
                   CallSite site) final;
  void AllReduceNow(std::string_view name, void* data, std::int64_t count, DType type,
                    CallSite site) final;
  Ticket AllGather(std::string_view name, const void* in, void* out,
                   std::span<const std::int64_t> counts, DType type, CallSite site) final;
  Ticket ReduceScatter(std::string_view name, const void* in, void* out,
                       std::span<const std::int64_t> counts, DType type, CallSite site) final;
  Ticket Broadcast(std::string_view name, void* data, std::int64_t count, DType type, int root,
                   CallSite site) final;
  Ticket AllToAll(std::string_view name, const void* in, std::span<const std::int64_t> send_counts,
                  void* out, std::span<const std::int64_t> receive_counts, DType type,
                  CallSite site) final;
  Ticket SendReceive(std::string_view name, const void* in, std::int64_t send_count, int to,
                     void* out, std::int64_t receive_count, int from, DType type,
                     CallSite site) final;
  Ticket Barrier(std::string_view name, CallSite site) final;
  std::unique_ptr<Communicator> Split(std::string_view name, int color, CallSite site) final;
  Traffic traffic() const final { return meter_->Read(); }
  std::uint64_t OrderHash() const final { return ring_.hash(); }
  void CompareOrder() override;

 protected:
  virtual std::shared_ptr<Ticket::Work> Submit(Request request) = 0;
  // Carries it out before it returns.
  virtual void Perform(Request request);
  // Called on every rank; `members` is empty on those that take no part, which get nullptr.
  virtual std::unique_ptr<Communicator> MakeSplit(const std::string& name, int color,
                                                  Members members, CallSite site) = 0;
  // Collective: the texts of the ranks in `part` of this communicator, in their order.
  std::vector<std::string> GatherInPart(const std::string& name, const std::string& mine,
                                        const Members& part, CallSite site);
  // Every rank's text, by rank, by a way on which no collective of the device lies.
  virtual std::vector<std::string> GatherAside(const std::string& mine);
  const Members& members() const { return members_; }
  const std::shared_ptr<TrafficMeter>& meter() const { return meter_; }

 private:
  Ticket Start(Request request, std::int64_t bytes_sent);
  void Enter(Request& request, std::int64_t bytes_sent);
  std::int64_t AllReduceBytes(const Request& request) const;
  void RequireCounts(Kind kind, std::string_view name, std::size_t counts) const;

  const Members members_;
  const Topology topology_;
  const std::shared_ptr<TrafficMeter> meter_;
  OrderRing ring_;
  std::uint64_t next_ = 0;
};

}  // namespace vesalius::dist
