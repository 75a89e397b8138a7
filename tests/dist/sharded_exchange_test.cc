// Sharded exchange with the optimiser on it: the same bits as replicated AdamW whatever the mode,
// the buckets and the layout; state in shards; what bfloat16 on the wire costs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "dist/grad_exchange.h"
#include "tests/dist/on_ranks.h"
#include "tests/util/message_of.h"
#include "trainer/adamw.h"

namespace vesalius::dist {
namespace {

using Named = std::vector<std::pair<std::string, at::Tensor>>;

// Parameters of many sizes, with and without weight decay, and their training in one mode.
class Trainee {
 public:
  Trainee(Communicator& comm, const GradExchangeOptions& options, at::ScalarType type)
      : comm_(comm), type_(type) {
    const std::vector<std::vector<std::int64_t>> shapes = {
        {}, {64, 5, 3}, {300, 40}, {7}, {129}, {3, 1000}, {}, {2, 3, 5, 70}, {64}};
    for (const auto& shape : shapes) {
      const std::int64_t n = c10::multiply_integers(shape);
      const at::Tensor start = at::sin(at::arange(n, at::kDouble) * (0.3 + infos_.size()));
      infos_.push_back({"p" + std::to_string(infos_.size()),
                        start.view(shape).to(type).requires_grad_(true), shape.size() > 1});
    }
    Named named;
    for (const auto& info : infos_) named.emplace_back(info.name, info.tensor);
    exchange_ = std::make_unique<GradExchange>(comm, named, options);
    optimiser_ = std::make_unique<trainer::AdamW>(infos_, exchange_->pieces(),
                                                  trainer::AdamWOptions{.weight_decay = 0.1});
  }

  // One step whose gradients differ by rank and arrive in an order that is not that of
  // registration. `spoil` multiplies the loss. Returns the gradient norm.
  double Step(int step, double spoil = 1) {
    if (exchange_->Rebuild()) {
      ++rebuilds;
      optimiser_->Repartition(*exchange_);
    }
    exchange_->Begin();
    at::Tensor loss = at::zeros({}, type_);
    for (std::size_t k = 0; k < infos_.size(); ++k) {
      const std::size_t i = (k * 5 + 2) % infos_.size();
      const at::Tensor& p = infos_[i].tensor;
      if (!p.requires_grad() || (i == 4 && comm_.rank() != 0)) continue;
      const at::Tensor wave =
          at::cos(at::arange(p.numel(), at::kDouble) * (1.0 + step + 0.1 * i) + comm_.rank());
      loss = loss + (p * wave.view(p.sizes()).to(type_)).pow(3).sum() * 0.2 + loss.sin();
    }
    (loss * spoil).backward();
    const double flags[] = {1.0, comm_.rank() + 0.1};
    const std::vector<double> sums = exchange_->Finalize(flags);
    EXPECT_EQ(sums[0], comm_.size());
    const at::Tensor norm = exchange_->GradNorm();
    optimiser_->Step(exchange_->touched(), 1e-2, trainer::ClipScale(norm, 1.0));
    exchange_->PublishParameters();
    exchange_->WaitParameters();
    return norm.item<double>();
  }

  void Freeze(int i, bool frozen) { infos_[i].tensor.requires_grad_(!frozen); }
  at::Tensor Values() const {
    std::vector<at::Tensor> flat;
    for (const auto& info : infos_) flat.push_back(info.tensor.detach().flatten());
    return at::cat(flat);
  }
  std::int64_t StateElements() {
    std::int64_t n = 0;
    for (const auto& state : optimiser_->states()) n += state.moment1.numel();
    return n;
  }
  const trainer::AdamW& optimiser() const { return *optimiser_; }
  int rebuilds = 0;

 private:
  Communicator& comm_;
  at::ScalarType type_;
  std::vector<model::ParameterInfo> infos_;
  std::unique_ptr<GradExchange> exchange_;
  std::unique_ptr<trainer::AdamW> optimiser_;
};

class Sharded : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, Sharded, testing::Values(1, 2, 3, 4));

TEST_P(Sharded, EqualsReplicatedBitForBit) {
  OnRanks(GetParam(), [](Communicator& comm) {
    for (const auto type : {at::kFloat, at::kDouble}) {
      std::vector<at::Tensor> want;
      std::vector<double> want_norms;
      for (const auto mode :
           {ExchangeMode::kAllReduce, ExchangeMode::kZero1, ExchangeMode::kHybrid}) {
        for (const std::size_t bytes :
             {std::size_t{64}, std::size_t{8} << 10, std::size_t{1} << 20}) {
          Trainee trainee(comm, {.bucket_bytes = bytes, .mode = mode}, type);
          for (const int i : {2, 5, 6}) trainee.Freeze(i, true);
          const bool first = want.empty();
          for (int step = 0; step < 7; ++step) {
            if (step == 3)
              for (const int i : {2, 6}) trainee.Freeze(i, false);
            const double norm = trainee.Step(step);
            if (first) {
              want.push_back(trainee.Values());
              want_norms.push_back(norm);
            }
            EXPECT_GT(norm, 0);
            EXPECT_EQ(norm, want_norms[step]) << step;
            EXPECT_TRUE(at::equal(trainee.Values(), want[step])) << step;
          }
          EXPECT_EQ(trainee.rebuilds, 2) << "one a choice of frozen parameters";
          EXPECT_EQ(trainee.optimiser().steps(2).item<float>(), 4);
          EXPECT_EQ(trainee.optimiser().steps(5).item<float>(), 0);
        }
      }
    }
  });
}

TEST_P(Sharded, StateIsAShareOfTheWhole) {
  OnRanks(GetParam(), [](Communicator& comm) {
    const auto elements = [&](ExchangeMode mode) {
      Trainee trainee(comm, {.mode = mode}, at::kFloat);
      trainee.Step(0);
      trainee.Step(1);
      return trainee.StateElements();
    };
    const std::int64_t all = elements(ExchangeMode::kAllReduce);
    const std::int64_t mine = elements(ExchangeMode::kZero1);
    std::int64_t sum = mine;
    AllReduceNow(comm, "elements", std::span(&sum, 1));
    EXPECT_EQ(sum, all);
    // The rest is alignment: 64 elements a parameter, and 64 a rank at the end of a bucket.
    EXPECT_LE(mine, all / comm.size() + 64 * 10);
    if (comm.topology().node_count == 1) {
      EXPECT_EQ(elements(ExchangeMode::kHybrid), mine);
    } else {
      EXPECT_GE(elements(ExchangeMode::kHybrid), mine);
    }
  });
}

TEST_P(Sharded, AStepThatIsNotFiniteIsSkippedEverywhere) {
  OnRanks(GetParam(), [](Communicator& comm) {
    for (const auto mode : {ExchangeMode::kAllReduce, ExchangeMode::kZero1}) {
      for (const double spoil : {std::nan(""), HUGE_VAL}) {
        Trainee trainee(comm, {.mode = mode}, at::kFloat);
        trainee.Step(0);
        const at::Tensor before = trainee.Values();
        const bool mine = comm.rank() == comm.size() - 1;
        EXPECT_FALSE(std::isfinite(trainee.Step(1, mine ? spoil : 1)));
        EXPECT_TRUE(at::equal(trainee.Values(), before));
        EXPECT_EQ(trainee.optimiser().steps(0).item<float>(), 1);
        EXPECT_TRUE(std::isfinite(trainee.Step(2)));
        EXPECT_FALSE(at::equal(trainee.Values(), before));
      }
    }
  });
}

TEST_P(Sharded, BFloat16OnTheWireLearnsTheSameAndIsDeterministic) {
  OnRanks(GetParam(), [](Communicator& comm) {
    const auto values = [&](ExchangeMode mode, bool narrow, std::size_t bytes) {
      Trainee trainee(comm, {.bucket_bytes = bytes, .mode = mode, .bfloat16_wire = narrow},
                      at::kFloat);
      for (int step = 0; step < 5; ++step) trainee.Step(step);
      return trainee.Values();
    };
    const at::Tensor wide = values(ExchangeMode::kAllReduce, false, 4096);
    const at::Tensor narrow = values(ExchangeMode::kAllReduce, true, 4096);
    EXPECT_FALSE(at::equal(wide, narrow));
    EXPECT_LT((wide - narrow).norm().item<float>(), 0.05 * wide.norm().item<float>());
    EXPECT_TRUE(at::equal(narrow, values(ExchangeMode::kAllReduce, true, 1 << 20)));
    EXPECT_TRUE(at::equal(narrow, values(ExchangeMode::kZero1, true, 4096)));
    if (comm.topology().node_count == 1) {
      EXPECT_TRUE(at::equal(narrow, values(ExchangeMode::kHybrid, true, 512)));
    }
  });
}

// Relative rms error of the sum of eight ranks' independent gradients, beside a ring that adds in
// bfloat16 and rounds at every hop.
TEST(BFloat16Wire, LosesLessThanHalfOfARing) {
  constexpr int kRanks = 8;
  constexpr std::int64_t kCount = 1 << 16;
  std::vector<at::Tensor> gradients;
  for (int r = 0; r < kRanks; ++r) {
    const auto generator = at::make_generator<at::CPUGeneratorImpl>(r + 1);
    gradients.push_back(at::randn({kCount}, generator, at::kFloat));
  }
  at::Tensor exact = at::zeros({kCount}, at::kDouble);
  at::Tensor ring = at::zeros({kCount}, at::kBFloat16);
  for (const at::Tensor& gradient : gradients) {
    exact += gradient;
    ring = (ring.to(at::kFloat) + gradient.to(at::kBFloat16).to(at::kFloat)).to(at::kBFloat16);
  }
  const auto error = [&](const at::Tensor& sum) {
    return ((sum - exact).norm() / exact.norm()).item<double>();
  };
  RunLocalRanks(kRanks, [&](Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(Device::kCpu, {});
    for (const auto mode : {ExchangeMode::kAllReduce, ExchangeMode::kZero1}) {
      const at::Tensor p = at::zeros({kCount}).requires_grad_(true);
      GradExchange exchange(*comm, {{"p", p}}, {.mode = mode, .bfloat16_wire = true});
      exchange.Begin();
      (p * gradients[comm->rank()]).sum().backward();
      exchange.Finalize({});
      const ParameterPiece& piece = exchange.pieces().at(0);
      const at::Tensor sum = exchange.Assemble(0, piece.begin, piece.gradient.clone());
      EXPECT_LE(error(sum), 0.45 * error(ring));
      EXPECT_LE(error(sum), 1.9e-3);
      EXPECT_GE(error(sum), 1.2e-3) << "nothing was rounded";
    }
  });
  EXPECT_NEAR(error(ring), 4.0e-3, 0.5e-3);
}

}  // namespace
}  // namespace vesalius::dist
