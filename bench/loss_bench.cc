// `./run bench loss`: InfoNCE forward and backward, batch 4096, width 512, two threads: ours
// against the algorithms of Inf-CL and memeff (loss_peers.h) and LibTorch's autograd on the whole
// matrix, with its memory; and ours with a cache of logits. The share of the time that the matrix
// products of each take is printed. bench/open_clip_losses.sh runs open_clip itself.
#include <ATen/Parallel.h>

#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "bench/harness.h"
#include "bench/loss_peers.h"
#include "bench/loss_problem.h"

namespace vesalius::bench {
namespace {

constexpr int kRounds = 7;

Gradients Materialised(const Features& in) {
  const at::Tensor x = in.x.detach().requires_grad_(true), y = in.y.detach().requires_grad_(true);
  const at::Tensor scale = at::scalar_tensor(kScale, at::kFloat).requires_grad_(true);
  const at::Tensor logits = scale * at::matmul(x, y.t()), labels = at::arange(x.size(0));
  const at::Tensor loss =
      (at::cross_entropy_loss(logits, labels) + at::cross_entropy_loss(logits.t(), labels)) / 2;
  loss.backward();
  return {loss.item<double>(), x.grad(), y.grad()};
}

Gradients FromPeer(const ContrastiveGradient& peer) { return {peer.loss, peer.dx, peer.dy}; }

void RequireSame(const std::string& name, const Gradients& ours, const Gradients& peer) {
  const auto far = [](const at::Tensor& a, const at::Tensor& b) {
    return ((a - b).norm() / b.norm()).item<double>() > 1e-4;
  };
  Require(
      std::abs(ours.loss - peer.loss) < 1e-4 && !far(peer.dx, ours.dx) && !far(peer.dy, ours.dy),
      ExitCode::kBug, "bench loss: ", name, " computes something else");
}

void Body(Report& report) {
  at::set_num_threads(2);
  const Features in = MakeFeatures();
  dist::RunLocalRanks(1, [&](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    at::set_num_threads(2);
    const auto positives = std::make_shared<dist::KeyPositives>(0);
    const auto ours = [&](std::int64_t cache_mb) {
      dist::RingOptions options;
      options.cache_bytes = cache_mb << 20;
      return RunRing(*comm, in, {kBatch}, positives, options);
    };
    struct Contender {
      std::string name;
      double products;
      std::function<Gradients()> run;
    };
    const std::vector<Contender> contenders = {
        {"ours", 4, [&] { return ours(0); }},
        {"ours, 64 MB cache", 3, [&] { return ours(64); }},
        {"Inf-CL", 10, [&] { return FromPeer(InfCl(in.x, in.y, kScale)); }},
        {"memeff, one device", 5, [&] { return FromPeer(MemeffSingle(in.x, in.y, kScale)); }},
        {"memeff, distributed", 4, [&] { return FromPeer(MemeffDistributed(in.x, in.y, kScale)); }},
        {"LibTorch autograd", 3, [&] { return Materialised(in); }}};
    std::vector<Side> sides = {{"products", [&] { return GemmSeconds(in.x, in.y, 1); }}};
    const Gradients reference = ours(0);
    for (const Contender& contender : contenders) {
      RequireSame(contender.name, reference, contender.run());
      sides.push_back({contender.name, [&contender] { return Seconds(contender.run); }});
    }
    const auto seconds = Interleave(sides, kRounds);
    for (const Contender& contender : contenders)
      std::printf("%-22s %.3f s, of which products %.0f %%\n", contender.name.c_str(),
                  Median(seconds.at(contender.name)),
                  100 * contender.products * Median(seconds.at("products")) /
                      Median(seconds.at(contender.name)));
    const auto compare = [&](const char* figure, const char* a, const char* b) {
      report.Compare(figure, "s", seconds.at(a), seconds.at(b));
    };
    compare("loss.infcl", "ours", "Inf-CL");
    compare("loss.memeff_single", "ours", "memeff, one device");
    compare("loss.memeff_distributed", "ours", "memeff, distributed");
    compare("loss.materialised", "ours", "LibTorch autograd");
    compare("loss.cache", "ours, 64 MB cache", "ours");
    report.Compare("loss.memory_share", "MB", {Megabytes([&] { return ours(0); })},
                   {Megabytes([&] { return Materialised(in); })}, Value::kOursByPeer);
  });
}

}  // namespace
}  // namespace vesalius::bench

int main(int argc, char** argv) { return vesalius::bench::Main(argc, argv, vesalius::bench::Body); }
