// `./run bench ring`: the contrastive loss between ranks. Bytes that a rank sends at 4 ranks
// against gathering both towers with gradients (OpenCLIP's local_loss + gather_with_grad), by the
// same counters; how much of 5 ms added to every hop of the ring is hidden behind the tiles at 2
// ranks; and what 2 % of duplicated keys cost. Batch 4096, width 512, one thread a rank.
#include <ATen/Parallel.h>

#include <cstdio>

#include "bench/harness.h"
#include "bench/loss_problem.h"
#include "bench/slow_hops.h"
#include "dist/gather.h"

namespace vesalius::bench {
namespace {

constexpr auto kDelay = std::chrono::milliseconds(5);

Features Mine(const Features& all, int rank, int ranks) {
  const std::int64_t rows = kBatch / ranks;
  return {all.x.narrow(0, rank * rows, rows), all.y.narrow(0, rank * rows, rows)};
}

std::vector<std::int64_t> Counts(int ranks) {
  return std::vector<std::int64_t>(ranks, kBatch / ranks);
}

// One forward and backward of this rank; equal keys for `duplicates` of the samples.
void Ours(dist::Communicator& comm, const Features& all, std::int64_t duplicates = 0,
          dist::Contrast contrast = dist::Contrast::kHybrid) {
  const int ranks = comm.size();
  at::Tensor keys = at::arange(kBatch, at::kLong);
  for (std::int64_t k = 0; k < duplicates; ++k)  // spread over the batch, in pairs
    keys[k * (kBatch / duplicates)].fill_(k / 2);
  const std::int64_t rows = kBatch / ranks;
  const auto positives = std::make_shared<dist::KeyPositives>(
      comm, "keys", keys.narrow(0, comm.rank() * rows, rows).clone(), Counts(ranks),
      dist::KeyPositives::Extra::kShare);
  dist::RingOptions options;
  options.contrast = contrast;
  RunRing(comm, Mine(all, comm.rank(), ranks), Counts(ranks), positives, options);
}

void GatherBoth(dist::Communicator& comm, const Features& all) {
  const Features in = Mine(all, comm.rank(), comm.size());
  const at::Tensor x = in.x.detach().requires_grad_(true), y = in.y.detach().requires_grad_(true);
  const at::Tensor all_x = dist::GatherRows(comm, "x", x, Counts(comm.size()));
  const at::Tensor all_y = dist::GatherRows(comm, "y", y, Counts(comm.size()));
  const at::Tensor labels = at::arange(x.size(0)) + comm.rank() * x.size(0);
  const at::Tensor loss = at::cross_entropy_loss(kScale * at::matmul(x, all_y.t()), labels) +
                          at::cross_entropy_loss(kScale * at::matmul(y, all_x.t()), labels);
  loss.backward();
}

void Bytes(Report& report, const Features& all) {
  double ours = 0, peer = 0;
  dist::RunLocalRanks(4, [&](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    at::set_num_threads(1);
    const auto sent = [&](const auto& body) {
      const std::int64_t before = comm->traffic().bytes_sent;
      body();
      return static_cast<double>(comm->traffic().bytes_sent - before) / 1e6;
    };
    const double a = sent([&] { Ours(*comm, all); }), b = sent([&] { GatherBoth(*comm, all); });
    if (comm->rank() == 0) ours = a, peer = b;
  });
  report.Compare("ring.bytes", "MB", {ours}, {peer}, Value::kOursByPeer);
}

// Both ranks' slower time of one step.
double Step(dist::Communicator& comm, const Features& all, std::int64_t duplicates,
            dist::Contrast contrast = dist::Contrast::kHybrid) {
  comm.Barrier("begin").Wait();
  return Seconds([&] {
    Ours(comm, all, duplicates, contrast);
    comm.Barrier("end").Wait();
  });
}

// Of the memory mode with the most hops: 1 - (t_delayed - t_plain) / (hops * delay) of each round,
// t the quickest of some alternating steps: what other programs do to a step is as long as the
// delays of its hops, and only ever adds. Beside it the part of the delays that no Wait() met, of
// the worse rank.
void Hidden(Report& report, const Features& all) {
  constexpr int kRounds = 9, kStepsARound = 5;
  std::vector<double> hidden, unseen, plain, delayed;
  double added = 0;  // to a step
  dist::RunLocalRanks(2, [&](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    at::set_num_threads(1);
    SlowHops slow(*comm);
    const auto quickest = [&](double before, std::chrono::milliseconds delay) {
      slow.SetDelay(delay);
      return std::min(before, Step(slow, all, 0, dist::Contrast::kRing));
    };
    for (int round = 0; round <= kRounds; ++round) {
      double without = 1e9, with = 1e9, delays = 0;
      const double exposed = slow.seconds_exposed();
      for (int step = 0; step < kStepsARound; ++step) {
        without = quickest(without, {});
        const int hops = slow.hops();
        with = quickest(with, kDelay);
        delays += (slow.hops() - hops) * std::chrono::duration<double>(kDelay).count();
      }
      std::vector<double> seen(comm->size(), 0.0);
      seen[comm->rank()] = (slow.seconds_exposed() - exposed) / delays;
      dist::AllReduceNow(*comm, "seen", seen);
      if (comm->rank() != 0 || round == 0) continue;
      plain.push_back(without);
      delayed.push_back(with);
      added = delays / kStepsARound;
      hidden.push_back(1 - (with - without) / added);
      unseen.push_back(1 - std::max(seen[0], seen[1]));
    }
  });
  std::printf("  %.1f ms a step without delay, %.1f ms with 5 ms a hop, %.1f ms in all\n",
              1e3 * Median(plain), 1e3 * Median(delayed), 1e3 * added);
  report.Add("ring.hidden_share", "", hidden);
  report.Add("ring.not_waited_share", "", unseen);
}

void MultiPositive(Report& report, const Features& all) {
  dist::RunLocalRanks(1, [&](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    at::set_num_threads(2);
    const auto seconds =
        Interleave({{"plain", [&] { return Step(*comm, all, 0); }},
                    {"2 % duplicates", [&] { return Step(*comm, all, kBatch / 50); }}},
                   9);
    report.Compare("ring.multipositive", "s", seconds.at("2 % duplicates"), seconds.at("plain"),
                   Value::kOursByPeer);
  });
}

void Body(Report& report) {
  const Features all = MakeFeatures();
  Bytes(report, all);
  Hidden(report, all);
  MultiPositive(report, all);
}

}  // namespace
}  // namespace vesalius::bench

int main(int argc, char** argv) { return vesalius::bench::Main(argc, argv, vesalius::bench::Body); }
