// What a rank sent and how long it communicated, by kind of collective: for the step trace,
// benchmarks and the run record.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>

namespace vesalius::dist {

enum class Kind : std::uint8_t {
  kAllReduce,
  kAllGather,
  kReduceScatter,
  kBroadcast,
  kAllToAll,
  kSendReceive,
  kBarrier
};
inline constexpr int kKinds = 7;
const char* Name(Kind kind);  // "all-reduce", ...

// Figures of one rank since its communicator was made, all collectives together or those of a kind.
struct TrafficCount {
  std::int64_t calls = 0;
  // Of an all-reduce, what a bandwidth-optimal one sends: 2 (size - 1) / size of its bytes; of the
  // others, what this rank's part takes to every rank that needs it. Headers do not count.
  std::int64_t bytes_sent = 0;
  // Of those to other nodes: counted, on NCCL estimated.
  std::int64_t bytes_between_nodes = 0;
  double seconds =
      0;  // from when all ranks had arrived to the end; NCCL: on the device, with waits
  double seconds_waiting = 0;  // before that, for the last rank to arrive
  double seconds_exposed = 0;  // callers blocked in Ticket::Wait or in a blocking call

  TrafficCount& operator+=(const TrafficCount& other);
  TrafficCount& operator-=(const TrafficCount& other);
};

// The total, and the same by kind.
struct Traffic : TrafficCount {
  std::array<TrafficCount, kKinds> kinds;

  const TrafficCount& of(Kind kind) const { return kinds[static_cast<int>(kind)]; }
};

// What happened between two readings.
Traffic operator-(Traffic later, const Traffic& earlier);

// Where a communicator counts; what is added to a part's meter is added to the whole's as well.
// Thread-safe.
class TrafficMeter {
 public:
  explicit TrafficMeter(std::shared_ptr<TrafficMeter> whole) : whole_(std::move(whole)) {}
  void Add(Kind kind, const TrafficCount& more);
  Traffic Read() const;

 private:
  const std::shared_ptr<TrafficMeter> whole_;
  mutable std::mutex mutex_;
  Traffic traffic_;
};

}  // namespace vesalius::dist
