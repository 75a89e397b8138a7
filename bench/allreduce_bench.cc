// `./run bench allreduce`: the public all-reduce of two ranks with one pinned core each, at 26 MB
// (gradients) and 4 KB (flags), against MPI_Allreduce in the same processes, in turns. Both work in
// place on the same kind of data; the peer's buffer is ordinary memory, ours comes from Allocate(),
// as in training. Seconds are rank 0's between two MPI barriers, the mean over a batch of calls.
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "bench/harness.h"
#include "bench/under_mpi.h"
#include "dist/bootstrap.h"

namespace vesalius::bench {
namespace {

constexpr int kRounds = 11;

// Seconds of one call of `reduce`, from a common start.
double Time(const std::function<void()>& reduce, int calls) {
  MPI_Barrier(MPI_COMM_WORLD);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) reduce();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return took.count() / calls;
}

void Compare(dist::Communicator& comm, const std::string& name, std::int64_t count, int calls,
             Report* report) {
  const auto memory = comm.Allocate(count * sizeof(float));
  std::vector<float> peer(count, 1.f);
  std::fill_n(static_cast<float*>(memory.get()), count, 1.f);
  const auto ours = [&] { comm.AllReduceNow("bench", memory.get(), count, dist::DType::kFloat32); };
  const auto mpi = [&] {
    MPI_Allreduce(MPI_IN_PLACE, peer.data(), static_cast<int>(count), MPI_FLOAT, MPI_SUM,
                  MPI_COMM_WORLD);
  };
  const auto figures = Interleave(
      {{"ours", [&] { return Time(ours, calls); }}, {"peer", [&] { return Time(mpi, calls); }}},
      kRounds);
  if (report == nullptr) return;
  report->Compare(name, "s", figures.at("ours"), figures.at("peer"));
}

void Body(dist::Bootstrap& bootstrap, Report* report) {
  const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
  Compare(*comm, "allreduce.26MB", 26'000'000 / sizeof(float), 5, report);
  Compare(*comm, "allreduce.4KB", 4096 / sizeof(float), 2000, report);
}

}  // namespace
}  // namespace vesalius::bench

int main(int argc, char** argv) {
  return vesalius::bench::MainUnderMpi(argc, argv, 2, vesalius::bench::Body);
}
