// RingLoss against a float64 autograd of the whole matrix: every form and memory mode, 1-4 ranks of
// unequal sizes (one of them empty), duplicated keys.
#include "dist/ring_loss.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "dist/bootstrap.h"
#include "dist/gather.h"
#include "ops/cpu_memory.h"

namespace vesalius::dist {
namespace {

struct Problem {
  at::Tensor x, y, keys;  // of all ranks, float64 values that float32 holds
  double scale = 14.3, bias = -3;
};

Problem MakeProblem(std::int64_t rows, std::int64_t width, double scale, double noise = 1.7) {
  at::Generator generator = at::detail::createCPUGenerator(3);
  const auto unit = [](const at::Tensor& x) { return x / x.norm(2, {1}, true); };
  const auto random = [&] {
    return unit(at::randn({rows, width}, generator, at::TensorOptions().dtype(at::kDouble)));
  };
  Problem p;
  const at::Tensor x = random();
  p.y = unit(x + noise * random()).to(at::kFloat).to(at::kDouble);
  p.x = x.to(at::kFloat).to(at::kDouble);
  p.keys = at::arange(rows, at::kLong);
  for (std::int64_t i = 0; i + 7 < rows; i += 5) p.keys[i + 7].fill_(p.keys[i]);
  p.scale = scale;
  return p;
}

struct Outcome {
  double loss = 0, scale = 0, bias = 0;
  at::Tensor dx, dy;  // of all ranks
};

Outcome Reference(const Problem& p, const RingOptions& options, bool keyed,
                  KeyPositives::Extra extra) {
  const at::Tensor x = p.x.clone().requires_grad_(true), y = p.y.clone().requires_grad_(true);
  const at::Tensor scale = at::scalar_tensor(p.scale, at::kDouble).requires_grad_(true);
  const at::Tensor bias = at::scalar_tensor(p.bias, at::kDouble).requires_grad_(true);
  const std::int64_t n = x.size(0);
  const at::Tensor own = at::eye(n, at::kBool);
  const at::Tensor same = keyed ? p.keys.unsqueeze(1).eq(p.keys.unsqueeze(0)) : own;
  const bool share = extra == KeyPositives::Extra::kShare;
  const at::Tensor positive = share ? same : own;
  const at::Tensor ignored = share ? at::zeros_like(same) : same.logical_and(own.logical_not());
  at::Tensor logits = scale * at::matmul(x, y.t());
  at::Tensor loss;
  if (options.form == LossForm::kSigLip) {
    logits = logits + bias;
    const at::Tensor z = at::where(positive, at::ones_like(logits), -at::ones_like(logits));
    loss = at::softplus(-z.detach() * logits).masked_fill(ignored, 0).sum() / n;
  } else {
    logits = logits.masked_fill(ignored, -1e9);
    const at::Tensor weight = positive.to(at::kDouble);
    for (const int dim : {1, 0}) {
      const at::Tensor line =
          -(logits.log_softmax(dim) * weight).sum(dim) / weight.sum(dim) / (2.0 * n);
      loss = loss.defined() ? loss + line.sum() : line.sum();
    }
  }
  loss.backward();
  return {loss.item<double>(), scale.grad().item<double>(),
          options.form == LossForm::kSigLip ? bias.grad().item<double>() : 0, x.grad(), y.grad()};
}

// Rows by rank: unequal, and rank 1 of more than two has none.
std::vector<std::int64_t> Split(std::int64_t rows, int ranks) {
  std::vector<std::int64_t> counts(ranks);
  std::int64_t left = rows;
  for (int r = 0; r < ranks; ++r) {
    counts[r] = r + 1 == ranks ? left : r == 1 ? 0 : left / 2 + 3;
    left -= counts[r];
  }
  return counts;
}

Outcome Ours(const Problem& p, int ranks, at::ScalarType type, const RingOptions& options,
             bool keyed, KeyPositives::Extra extra, double* audit = nullptr) {
  Outcome whole;
  const std::vector<std::int64_t> counts = Split(p.x.size(0), ranks);
  RunLocalRanks(ranks, [&](Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(Device::kCpu, {});
    const std::int64_t first =
        std::accumulate(counts.begin(), counts.begin() + comm->rank(), std::int64_t{0});
    const auto mine = [&](const at::Tensor& all) {
      return all.narrow(0, first, counts[comm->rank()]).clone();
    };
    const at::Tensor x = mine(p.x).to(type).requires_grad_(true);
    const at::Tensor y = mine(p.y).to(type).requires_grad_(true);
    const at::Tensor scale = at::scalar_tensor(p.scale, type).requires_grad_(true);
    const at::Tensor bias =
        at::scalar_tensor(options.form == LossForm::kSigLip ? p.bias : 0.0, type)
            .requires_grad_(true);
    const auto positives =
        keyed ? std::make_shared<KeyPositives>(*comm, "keys", mine(p.keys), counts, extra)
              : std::make_shared<KeyPositives>(first);
    const RingResult result =
        RingLoss(*comm, "loss", x, y, scale, bias, counts, positives, options);
    result.loss.backward();
    const at::Tensor sums =
        SumOverRanks(*comm, "sums",
                     at::stack({result.loss.detach(), scale.grad(), bias.grad()}).to(at::kDouble));
    const at::Tensor dx = GatherRowsDetached(*comm, "dx", x.grad(), counts).to(at::kDouble);
    const at::Tensor dy = GatherRowsDetached(*comm, "dy", y.grad(), counts).to(at::kDouble);
    if (comm->rank() == 0) {
      whole = {sums[0].item<double>(), sums[1].item<double>(), sums[2].item<double>(), dx, dy};
      if (audit != nullptr) *audit = result.audit_error;
    }
  });
  return whole;
}

double Error(const at::Tensor& ours, const at::Tensor& reference) {
  return ((ours - reference).norm() / reference.norm()).item<double>();
}

void ExpectClose(const Outcome& ours, const Outcome& reference, double gradient, double loss) {
  EXPECT_NEAR(ours.loss, reference.loss, loss * std::max(1.0, reference.loss));
  EXPECT_LE(Error(ours.dx, reference.dx), gradient);
  EXPECT_LE(Error(ours.dy, reference.dy), gradient);
  EXPECT_NEAR(ours.scale, reference.scale, gradient * std::max(1e-3, std::abs(reference.scale)));
  EXPECT_NEAR(ours.bias, reference.bias, gradient * std::max(1e-3, std::abs(reference.bias)));
}

const std::pair<bool, KeyPositives::Extra> kPositives[] = {{false, KeyPositives::Extra::kShare},
                                                           {true, KeyPositives::Extra::kShare},
                                                           {true, KeyPositives::Extra::kDrop}};

class RanksTest : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, RanksTest, testing::Values(1, 2, 3, 4));

// Every form, mode and kind of positives against float64: float32 within `gradient`, and 1e-6 of
// the loss; float64 within 1e-12 where asked for.
void ExpectEveryFormAndMode(int ranks, double scale, double gradient, bool also_float64) {
  const Problem p = MakeProblem(1301, 64, scale);  // more than one tile on a rank
  for (const LossForm form : {LossForm::kInfoNce, LossForm::kSigLip})
    for (const auto& [keyed, extra] : kPositives) {
      RingOptions options;
      options.form = form;
      const Outcome reference = Reference(p, options, keyed, extra);
      for (const Contrast contrast : {Contrast::kGather, Contrast::kHybrid, Contrast::kRing}) {
        SCOPED_TRACE(testing::Message() << "form " << int(form) << " mode " << int(contrast)
                                        << " keyed " << keyed << " extra " << int(extra));
        options.contrast = contrast;
        ExpectClose(Ours(p, ranks, at::kFloat, options, keyed, extra), reference, gradient, 1e-6);
        if (also_float64)
          ExpectClose(Ours(p, ranks, at::kDouble, options, keyed, extra), reference, 1e-12, 1e-12);
      }
    }
}

TEST_P(RanksTest, EveryFormAndModeEqualsFloat64) {
  ExpectEveryFormAndMode(GetParam(), 14.3, 2e-6, true);
}

TEST_P(RanksTest, EveryFormAndModeAtScale100) {
  ExpectEveryFormAndMode(GetParam(), 100, 1e-5, false);
}

TEST_P(RanksTest, LogitCacheChangesNothing) {
  const Problem p = MakeProblem(1301, 32, 14.3);
  RingOptions options;
  const Outcome plain = Ours(p, GetParam(), at::kFloat, options, true, KeyPositives::Extra::kDrop);
  for (const std::int64_t bytes : {1500000, 1 << 30}) {
    options.cache_bytes = bytes;
    const Outcome kept = Ours(p, GetParam(), at::kFloat, options, true, KeyPositives::Extra::kDrop);
    EXPECT_TRUE(at::equal(kept.dx, plain.dx) && at::equal(kept.dy, plain.dy));
    EXPECT_EQ(kept.loss, plain.loss);
  }
}

TEST_P(RanksTest, RunsAreBitwiseEqual) {
  const Problem p = MakeProblem(700, 32, 14.3);
  RingOptions options;
  const Outcome first = Ours(p, GetParam(), at::kFloat, options, true, KeyPositives::Extra::kShare);
  for (int run = 0; run < 4; ++run) {
    const Outcome again =
        Ours(p, GetParam(), at::kFloat, options, true, KeyPositives::Extra::kShare);
    EXPECT_TRUE(at::equal(again.dx, first.dx) && at::equal(again.dy, first.dy));
    EXPECT_EQ(again.loss, first.loss);
    EXPECT_EQ(again.scale, first.scale);
  }
}

// At scale 100 the differences of logits go beyond what one float32 exponential spans.
TEST_P(RanksTest, SteepScaleStaysExact) {
  RingOptions options;
  options.audit_rows = 1301;
  const auto extra = KeyPositives::Extra::kShare;
  double audit = 0;
  Problem p = MakeProblem(1301, 1024, 100);
  p.y = p.x.roll({650}, {0}).roll({1}, {1});  // no row is near any column
  const Outcome ours = Ours(p, GetParam(), at::kFloat, options, false, extra, &audit);
  ExpectClose(ours, Reference(p, options, false, extra), 1e-5, 1e-6);
  EXPECT_LE(audit, 1e-5);
  // Where the reference is the largest logit that could be, a denominator is no normal float32.
  const at::Tensor logits = (100 * at::matmul(p.x, p.y.t())).to(at::kFloat);
  const auto failed =
      logits.sub(100).exp().sum(1).lt(std::numeric_limits<float>::min()).sum().item<std::int64_t>();
  RecordProperty("rows of 1301 where a fixed reference of 100 fails", static_cast<int>(failed));
  EXPECT_GT(failed, 0);

  // One logit of 100, whose float32 step is 8e-6, in a tile where all other lines vanish beside it.
  p.y[0].copy_(p.x[0]);
  const Outcome steep = Ours(p, GetParam(), at::kFloat, options, false, extra, &audit);
  EXPECT_LE(audit, 5e-5);
  EXPECT_TRUE(steep.dx.isfinite().all().item<bool>() && std::isfinite(steep.loss));
}

TEST(RingLoss, SkippingIsOffByDefaultAndBounded) {
  Problem p = MakeProblem(1400, 32, 100, 0.05);
  RingOptions options;
  const auto extra = KeyPositives::Extra::kShare;
  const Outcome exact = Ours(p, 1, at::kFloat, options, false, extra);
  options.skip_epsilon = std::ldexp(1.0, -14);
  const Outcome skipped = Ours(p, 1, at::kFloat, options, false, extra);
  EXPECT_EQ(skipped.loss, exact.loss);
  EXPECT_LE((skipped.dx - exact.dx).abs().max().item<double>(), 1e-4);
}

// Above inputs and gradients: a tile, and a few numbers a line.
TEST(RingLoss, MemoryGrowsWithTheBatchNotWithItsSquare) {
  const RingOptions options;
  const std::int64_t width = 16;
  for (const std::int64_t rows : {2048, 4096, 8192}) {
    const at::Tensor x = at::randn({rows, width}).requires_grad_(true);
    const at::Tensor y = at::randn({rows, width}).requires_grad_(true);
    RunLocalRanks(1, [&](Bootstrap& bootstrap) {
      const auto comm = bootstrap.MakeCommunicator(Device::kCpu, {});
      const ops::CpuMemoryMeter meter;
      const at::Tensor loss = RingLoss(*comm, "loss", x, y, at::scalar_tensor(2.0, at::kFloat), {},
                                       {rows}, std::make_shared<KeyPositives>(0), options)
                                  .loss;
      loss.backward();
      const std::int64_t gradients = 2 * rows * width * 4;
      EXPECT_LE(meter.peak() - gradients, (5 << 20) + 160 * rows) << rows << " rows";
    });
  }
}

TEST(RingLoss, TakesBFloat16FeaturesInFloat32) {
  const at::Tensor x = at::randn({20, 8}).to(at::kBFloat16).requires_grad_(true);
  const at::Tensor y = at::randn({20, 8}).to(at::kBFloat16).requires_grad_(true);
  RunLocalRanks(1, [&](Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(Device::kCpu, {});
    const auto loss = [&](const at::Tensor& a, const at::Tensor& b) {
      return RingLoss(*comm, "loss", a, b, at::scalar_tensor(2.0, at::kFloat), {}, {20},
                      std::make_shared<KeyPositives>(0), {})
          .loss;
    };
    const at::Tensor ours = loss(x, y);
    ours.backward();
    EXPECT_EQ(ours.item<double>(),
              loss(x.detach().to(at::kFloat), y.detach().to(at::kFloat)).item<double>());
    EXPECT_EQ(x.grad().scalar_type(), at::kBFloat16);
  });
}

}  // namespace
}  // namespace vesalius::dist
