// `./run bench links`: latency and bandwidth of this machine's links as the collectives see them,
// by operation, through shared memory (links.node.*) and over MPI (links.mpi.*), between two ranks
// with a core each: seconds = latency + bytes / bandwidth, from an 8-byte and a large call. Bytes
// are those that Traffic counts for a rank. `vesalius plan` takes the figures as overrides.
// Absolute figures: there is no peer.
#include <chrono>
#include <vector>

#include "bench/harness.h"
#include "bench/under_mpi.h"
#include "dist/bootstrap_kinds.h"

namespace vesalius::bench {
namespace {

using dist::Communicator;
using dist::DType;

constexpr int kRounds = 7, kSmallCalls = 500, kLargeCalls = 6;
constexpr std::int64_t kLarge = 4 << 20;  // floats a rank

// The memory of one rank, and the operations on the first `n` floats of it.
class Link {
 public:
  explicit Link(Communicator& comm)
      : comm_(comm),
        in_(comm.Allocate(kLarge * sizeof(float))),
        out_(comm.Allocate(kLarge * sizeof(float) * comm.size())) {}

  void AllReduce(std::int64_t n) { comm_.AllReduceNow("link", in_.get(), n, DType::kFloat32); }
  void AllGather(std::int64_t n) {
    comm_.AllGather("link", in_.get(), out_.get(), Parts(n), DType::kFloat32).Wait();
  }
  void ReduceScatter(std::int64_t n) {
    comm_.ReduceScatter("link", in_.get(), out_.get(), Parts(n / comm_.size()), DType::kFloat32)
        .Wait();
  }
  void AllToAll(std::int64_t n) {
    const auto parts = Parts(n / comm_.size());
    comm_.AllToAll("link", in_.get(), parts, out_.get(), parts, DType::kFloat32).Wait();
  }
  void SendReceive(std::int64_t n) {
    const int size = comm_.size();
    const int me = comm_.rank();
    comm_
        .SendReceive("link", in_.get(), n, (me + 1) % size, out_.get(), n, (me + size - 1) % size,
                     DType::kFloat32)
        .Wait();
  }

 private:
  std::vector<std::int64_t> Parts(std::int64_t n) const {
    return std::vector<std::int64_t>(comm_.size(), n);
  }

  Communicator& comm_;
  const std::shared_ptr<void> in_;
  const std::shared_ptr<void> out_;
};

// Seconds of a call and the bytes that a rank sends in it.
std::pair<double, double> Measure(Communicator& comm, const std::function<void()>& call,
                                  int calls) {
  comm.Barrier("start").Wait();
  const std::int64_t before = comm.traffic().bytes_sent;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) call();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const auto bytes = static_cast<double>(comm.traffic().bytes_sent - before);
  return {took.count() / calls, bytes / calls};
}

void MeasureOperation(Communicator& comm, const std::string& name,
                      const std::function<void(std::int64_t)>& run, Report* report) {
  std::vector<double> latency, bandwidth;
  for (int round = 0; round <= kRounds; ++round) {  // the first warms up
    const auto [small, few] = Measure(
        comm, [&] { run(2); }, kSmallCalls);
    const auto [large, many] = Measure(
        comm, [&] { run(kLarge); }, kLargeCalls);
    if (round == 0) continue;
    latency.push_back(1e6 * small);
    bandwidth.push_back(1e-9 * (many - few) / (large - small));
  }
  if (report == nullptr) return;
  report->Add(name + ".latency_us", "us", latency);
  report->Add(name + ".bandwidth_GBps", "GB/s", bandwidth);
}

void MeasureLink(Communicator& comm, const std::string& link, Report* report) {
  Link on(comm);
  MeasureOperation(
      comm, link + ".all_reduce", [&](auto n) { on.AllReduce(n); }, report);
  MeasureOperation(
      comm, link + ".all_gather", [&](auto n) { on.AllGather(n); }, report);
  MeasureOperation(
      comm, link + ".reduce_scatter", [&](auto n) { on.ReduceScatter(n); }, report);
  MeasureOperation(
      comm, link + ".all_to_all", [&](auto n) { on.AllToAll(n); }, report);
  // The link itself: one message each way.
  MeasureOperation(
      comm, link, [&](auto n) { on.SendReceive(n); }, report);
}

void Body(dist::Bootstrap& bootstrap, Report* report) {
  MeasureLink(*bootstrap.MakeCommunicator(dist::Device::kCpu, {}), "links.node", report);
  MeasureLink(*dist::MakeFlatCommunicator(bootstrap, {}), "links.mpi", report);
}

}  // namespace
}  // namespace vesalius::bench

int main(int argc, char** argv) {
  return vesalius::bench::MainUnderMpi(argc, argv, 2, vesalius::bench::Body);
}
