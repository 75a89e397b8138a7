// `./run bench siglip`: the sigmoid loss, forward and backward, batch 4096, width 512, two threads:
// ours in one lap against OpenCLIP's SigLipLoss written in LibTorch, the texts in chunks of 512,
// and its memory. bench/open_clip_losses.sh runs open_clip itself.
#include <ATen/Parallel.h>

#include <cmath>

#include "base/error.h"
#include "bench/harness.h"
#include "bench/loss_problem.h"

namespace vesalius::bench {
namespace {

constexpr int kRounds = 7;
constexpr std::int64_t kChunk = 512;

// open_clip/loss.py: -logsigmoid(labels * logits).sum() / rows, labels 1 on the diagonal, else -1.
Gradients Chunked(const Features& in) {
  const at::Tensor x = in.x.detach().requires_grad_(true), y = in.y.detach().requires_grad_(true);
  const at::Tensor scale = at::scalar_tensor(kScale, at::kFloat).requires_grad_(true);
  const at::Tensor bias = at::scalar_tensor(-10, at::kFloat).requires_grad_(true);
  at::Tensor loss;
  for (std::int64_t begin = 0; begin < kBatch; begin += kChunk) {
    const at::Tensor logits = at::matmul(scale * x, y.narrow(0, begin, kChunk).t()).add_(bias);
    const at::Tensor labels = -at::ones({kBatch, kChunk});
    labels.narrow(0, begin, kChunk).diagonal().fill_(1);
    const at::Tensor part = -at::log_sigmoid(labels * logits).sum() / kBatch;
    loss = loss.defined() ? loss + part : part;
  }
  loss.backward();
  return {loss.item<double>(), x.grad(), y.grad()};
}

void Body(Report& report) {
  at::set_num_threads(2);
  const Features in = MakeFeatures();
  dist::RunLocalRanks(1, [&](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    at::set_num_threads(2);
    const auto positives = std::make_shared<dist::KeyPositives>(0);
    const auto ours = [&] {
      dist::RingOptions options;
      options.form = dist::LossForm::kSigLip;
      return RunRing(*comm, in, {kBatch}, positives, options);
    };
    const auto peer = [&] { return Chunked(in); };
    const Gradients a = ours(), b = peer();
    Require(std::abs(a.loss - b.loss) < 1e-4 &&
                ((a.dx - b.dx).norm() / b.dx.norm()).item<double>() < 1e-4,
            ExitCode::kBug, "bench siglip: the two sides compute different things");
    const auto seconds = Interleave(
        {{"ours", [&] { return Seconds(ours); }}, {"chunked", [&] { return Seconds(peer); }}},
        kRounds);
    report.Compare("siglip.chunked", "s", seconds.at("ours"), seconds.at("chunked"));
    report.Compare("siglip.memory_share", "MB", {Megabytes(ours)}, {Megabytes(peer)},
                   Value::kOursByPeer);
  });
}

}  // namespace
}  // namespace vesalius::bench

int main(int argc, char** argv) { return vesalius::bench::Main(argc, argv, vesalius::bench::Body); }
