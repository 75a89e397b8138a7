#include "dist/traffic.h"

namespace vesalius::dist {

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
    case Kind::kAllToAll:
      return "all-to-all";
    case Kind::kSendReceive:
      return "send/receive";
    case Kind::kBarrier:
      return "barrier";
  }
  return "?";
}

TrafficCount& TrafficCount::operator+=(const TrafficCount& other) {
  calls += other.calls;
  bytes_sent += other.bytes_sent;
  bytes_between_nodes += other.bytes_between_nodes;
  seconds += other.seconds;
  seconds_waiting += other.seconds_waiting;
  seconds_exposed += other.seconds_exposed;
  return *this;
}

TrafficCount& TrafficCount::operator-=(const TrafficCount& other) {
  calls -= other.calls;
  bytes_sent -= other.bytes_sent;
  bytes_between_nodes -= other.bytes_between_nodes;
  seconds -= other.seconds;
  seconds_waiting -= other.seconds_waiting;
  seconds_exposed -= other.seconds_exposed;
  return *this;
}

Traffic operator-(Traffic later, const Traffic& earlier) {
  static_cast<TrafficCount&>(later) -= earlier;
  for (int k = 0; k < kKinds; ++k) later.kinds[k] -= earlier.kinds[k];
  return later;
}

void TrafficMeter::Add(Kind kind, const TrafficCount& more) {
  {
    std::lock_guard lock(mutex_);
    static_cast<TrafficCount&>(traffic_) += more;
    traffic_.kinds[static_cast<int>(kind)] += more;
  }
  if (whole_) whole_->Add(kind, more);
}

Traffic TrafficMeter::Read() const {
  std::lock_guard lock(mutex_);
  return traffic_;
}

}  // namespace vesalius::dist
