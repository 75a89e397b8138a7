// Collectives between ranks. One interface, one folder a backend: local/ (threads of one process;
// size 1 included), node/ (processes of one node), mpi/ (Open MPI, CPU), nccl/ (GPU, in the
// plug-in). tests/dist/conformance.h passes unchanged on all of them.
//
// Contract
// - All ranks issue the same collectives in the same order. Every call has a name and knows its
//   call site, both used in errors.
// - Calls return at once with a Ticket; memory belongs to the collective until Wait() returns. A
//   ticket dropped unfinished (an exception on its way) aborts the communicator.
// - Sums are taken in rank order (over several nodes: first inside each node in rank order, then
//   over the nodes in order), so CPU results are bit-identical from run to run; bfloat16 is added
//   in float32.
// - A rank that dies or stays away past the deadline makes the others throw Error(kPeerLost) that
//   names the collective, from Wait() or from the next call.
// - Ranks that issue different collectives all throw Error(kBug) that names both, with their call
//   sites, before any data is used (CPU backends; for NCCL see CompareOrder).
// - One thread at a time may issue calls on a communicator and on those split from it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dist/traffic.h"

namespace vesalius::dist {

enum class DType { kFloat32, kFloat64, kBFloat16, kInt32, kInt64, kUInt8 };
std::size_t SizeOf(DType type);
enum class Device { kCpu, kCuda };

// Where a collective was called; wrappers pass their caller's on. (clang 14, which lints, does not
// know std::source_location.) The file name is a literal.
class CallSite {
 public:
  constexpr CallSite() = default;
  constexpr CallSite(const char* file, std::uint32_t line) : file_(file), line_(line) {}
  static constexpr CallSite current(const char* file = __builtin_FILE(),
                                    std::uint32_t line = __builtin_LINE()) {
    return {file, line};
  }
  constexpr const char* file_name() const { return file_; }
  constexpr std::uint32_t line() const { return line_; }

 private:
  const char* file_ = "";
  std::uint32_t line_ = 0;
};

class Ticket {
 public:
  class Work {
   public:
    virtual ~Work() = default;
    virtual void Wait() = 0;  // throws what the collective threw
  };
  Ticket() = default;  // already done
  // Waits are counted in `meter`, where there is one, as time exposed.
  // `number`: what the rank's page calls the collective (base/rank_page.h).
  explicit Ticket(std::shared_ptr<Work> work, std::shared_ptr<TrafficMeter> meter = nullptr,
                  Kind kind = Kind::kBarrier, std::uint64_t number = 0)
      : work_(std::move(work)), meter_(std::move(meter)), kind_(kind), number_(number) {}
  void Wait();
  double seconds_exposed() const { return seconds_exposed_; }  // spent in Wait() so far

 private:
  std::shared_ptr<Work> work_;
  std::shared_ptr<TrafficMeter> meter_;
  Kind kind_ = Kind::kBarrier;
  std::uint64_t number_ = 0;
  double seconds_exposed_ = 0;
};

// Where the ranks of a communicator are. Nodes count from 0 in order of their first rank.
struct Topology {
  std::vector<int> node_of;  // by rank
  int node_count = 1;
  int node = 0;       // of this rank
  int node_rank = 0;  // among the ranks of its node
  int node_size = 1;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual Device device() const = 0;
  virtual const char* backend() const = 0;  // "local", "mpi", "node", "nccl"
  virtual const Topology& topology() const = 0;

  // In place: data[count] = sum over ranks.
  virtual Ticket AllReduce(std::string_view name, void* data, std::int64_t count, DType type,
                           CallSite site = CallSite::current()) = 0;
  // The same, blocking: on the calling thread where nothing else is under way and the backend
  // allows it (not MPI), which saves two changes of thread.
  virtual void AllReduceNow(std::string_view name, void* data, std::int64_t count, DType type,
                            CallSite site = CallSite::current());
  // out = concatenation of every rank's in, rank r giving counts[r] elements (zero allowed). `in`
  // may be this rank's part of `out`.
  virtual Ticket AllGather(std::string_view name, const void* in, void* out,
                           std::span<const std::int64_t> counts, DType type,
                           CallSite site = CallSite::current()) = 0;
  // in = sum(counts) elements; rank r receives the sum over ranks of its counts[r] slice. `out` may
  // be that slice of `in`.
  virtual Ticket ReduceScatter(std::string_view name, const void* in, void* out,
                               std::span<const std::int64_t> counts, DType type,
                               CallSite site = CallSite::current()) = 0;
  virtual Ticket Broadcast(std::string_view name, void* data, std::int64_t count, DType type,
                           int root, CallSite site = CallSite::current()) = 0;
  // in = what goes to rank 0, rank 1, ... in order, send_counts[r] elements to rank r; out = what
  // comes from rank 0, rank 1, ... Zero is allowed. What a rank sends must be what the other
  // expects; nothing else needs to be equal. in and out do not overlap.
  virtual Ticket AllToAll(std::string_view name, const void* in,
                          std::span<const std::int64_t> send_counts, void* out,
                          std::span<const std::int64_t> receive_counts, DType type,
                          CallSite site = CallSite::current()) = 0;
  // Every rank calls it: sends to rank `to` and receives from rank `from`; either may be the rank
  // itself, or -1 for none. The hop of a ring.
  virtual Ticket SendReceive(std::string_view name, const void* in, std::int64_t send_count, int to,
                             void* out, std::int64_t receive_count, int from, DType type,
                             CallSite site = CallSite::current()) = 0;
  virtual Ticket Barrier(std::string_view name, CallSite site = CallSite::current()) = 0;

  // Collective, blocking: a communicator of the ranks that give the same colour, in order of their
  // ranks; colour < 0 takes no part and gets nullptr. It has a sequence of its own, fails together
  // with this one, must go before it, and counts in its traffic as well. In messages its ranks
  // keep the numbers that they have in the whole job.
  virtual std::unique_ptr<Communicator> Split(std::string_view name, int color,
                                              CallSite site = CallSite::current()) = 0;

  // Makes every pending and later call on every rank fail soon; returns. Safe from any thread.
  virtual void Abort(const std::string& reason) = 0;

  // Memory that this backend communicates best from, at least 64-byte aligned, zeroed; freed with
  // the last reference.
  virtual std::shared_ptr<void> Allocate(std::size_t bytes) = 0;

  // Blocking copies between host memory and memory of this backend's device.
  virtual void FromHost(void* to, const void* from, std::size_t bytes);
  virtual void ToHost(void* to, const void* from, std::size_t bytes);

  virtual Traffic traffic() const = 0;  // from any thread

  // For backends where nothing can ride with the data (NCCL): a hash of all calls so far, which is
  // the same on ranks that made the same calls. It rides in an exchange that happens anyway; where
  // it turns out to differ, all ranks call CompareOrder, which compares the last calls of all ranks
  // outside the device and throws Error(kBug) that names the first difference. By the thread that
  // issues calls.
  virtual std::uint64_t OrderHash() const { return 0; }
  virtual void CompareOrder() {}
};

struct CommunicatorOptions {
  std::chrono::milliseconds deadline{std::chrono::minutes(10)};  // for one collective
};

// Convenience over the above; blocking.
void AllReduceNow(Communicator& comm, std::string_view name, std::span<double> values,
                  CallSite site = CallSite::current());
void AllReduceNow(Communicator& comm, std::string_view name, std::span<std::int64_t> values,
                  CallSite site = CallSite::current());
// Every rank's bytes, by rank (two collectives: lengths, then content).
std::vector<std::string> AllGatherBytes(Communicator& comm, std::string_view name,
                                        std::string_view mine, CallSite site = CallSite::current());
// Rank 0's bytes on every rank.
std::string BroadcastBytes(Communicator& comm, std::string_view name, std::string_view content,
                           CallSite site = CallSite::current());

}  // namespace vesalius::dist
