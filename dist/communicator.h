// Collectives between ranks. One interface, one folder a backend: local/ (threads of one process;
// size 1 included), mpi/ (Open MPI, CPU), nccl/ (GPU, in the plug-in). tests/dist/conformance.h
// passes unchanged on all of them.
//
// Contract
// - All ranks issue the same collectives in the same order. Every call has a name, used in errors.
// - Calls return at once with a Ticket; memory belongs to the collective until Wait() returns. A
//   ticket dropped unfinished (an exception on its way) aborts the communicator.
// - Sums are taken in rank order, so CPU results are bit-identical from run to run; bfloat16 is
//   added in float32.
// - A rank that dies or stays away past the deadline makes the others throw Error(kPeerLost) that
//   names the collective, from Wait() or from the next call.
// - Ranks that issue different collectives all throw Error(kBug) that names both (CPU backends).
// - One thread at a time may issue calls on a communicator.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vesalius::dist {

enum class DType { kFloat32, kFloat64, kBFloat16, kInt32, kInt64, kUInt8 };
std::size_t SizeOf(DType type);
enum class Device { kCpu, kCuda };

class Ticket {
 public:
  class Work {
   public:
    virtual ~Work() = default;
    virtual void Wait() = 0;  // throws what the collective threw
  };
  Ticket() = default;  // already done
  explicit Ticket(std::shared_ptr<Work> work) : work_(std::move(work)) {}
  void Wait() {
    if (work_) work_->Wait();
  }

 private:
  std::shared_ptr<Work> work_;
};

// Counts what this rank sent, for benchmarks and the run record; of an all-reduce, what a
// bandwidth-optimal one sends: 2 (size - 1) / size of its bytes.
struct Traffic {
  std::int64_t calls = 0;
  std::int64_t bytes_sent = 0;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual Device device() const = 0;
  virtual const char* backend() const = 0;  // "local", "mpi", "node", "nccl"

  // In place: data[count] = sum over ranks.
  virtual Ticket AllReduce(std::string_view name, void* data, std::int64_t count, DType type) = 0;
  // out = concatenation of every rank's in, rank r giving counts[r] elements (zero allowed).
  virtual Ticket AllGather(std::string_view name, const void* in, void* out,
                           std::span<const std::int64_t> counts, DType type) = 0;
  // in = sum(counts) elements; rank r receives the sum over ranks of its counts[r] slice.
  virtual Ticket ReduceScatter(std::string_view name, const void* in, void* out,
                               std::span<const std::int64_t> counts, DType type) = 0;
  virtual Ticket Broadcast(std::string_view name, void* data, std::int64_t count, DType type,
                           int root) = 0;
  virtual Ticket Barrier(std::string_view name) = 0;

  // Makes every pending and later call on every rank fail soon; returns. Safe from any thread.
  virtual void Abort(const std::string& reason) = 0;

  // Memory that this backend communicates best from, at least 64-byte aligned, zeroed; freed with
  // the last reference.
  virtual std::shared_ptr<void> Allocate(std::size_t bytes) = 0;

  // Blocking copies between host memory and memory of this backend's device.
  virtual void FromHost(void* to, const void* from, std::size_t bytes);
  virtual void ToHost(void* to, const void* from, std::size_t bytes);

  virtual Traffic traffic() const = 0;
};

struct CommunicatorOptions {
  std::chrono::milliseconds deadline{std::chrono::minutes(10)};  // for one collective
};

// Convenience over the above; blocking.
void AllReduceNow(Communicator& comm, std::string_view name, std::span<double> values);
void AllReduceNow(Communicator& comm, std::string_view name, std::span<std::int64_t> values);
// Every rank's bytes, by rank (two collectives: lengths, then content).
std::vector<std::string> AllGatherBytes(Communicator& comm, std::string_view name,
                                        std::string_view mine);
// Rank 0's bytes on every rank.
std::string BroadcastBytes(Communicator& comm, std::string_view name, std::string_view content);

}  // namespace vesalius::dist
