// Gradient exchange: equal to one rank's gradients over the whole batch, bit-identical for every
// bucket size; unused and frozen parameters, accumulation, riding flags, and misuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <mutex>

#include "base/error.h"
#include "dist/bootstrap.h"
#include "dist/grad_exchange.h"
#include "ops/sum_squares.h"
#include "tests/dist/on_ranks.h"
#include "tests/util/message_of.h"

namespace vesalius::dist {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// A small network with a head that may be left out: parameters w0, b0, w1, b1, head.
struct Net {
  std::vector<std::pair<std::string, at::Tensor>> parameters;

  explicit Net(at::ScalarType type) {
    Add("w0", {300, 40}, type);
    Add("b0", {300}, type);
    Add("w1", {7, 300}, type);
    Add("b1", {7}, type);
    Add("head", {13, 300}, type);
  }
  void Add(const std::string& name, at::IntArrayRef shape, at::ScalarType type) {
    const std::int64_t n = c10::multiply_integers(shape);
    const at::Tensor values = at::sin(at::arange(n, at::kDouble) * (0.37 + parameters.size()));
    parameters.emplace_back(name, (values * 0.3).view(shape).to(type).requires_grad_(true));
  }
  const at::Tensor& operator[](int i) const { return parameters[i].second; }

  // Sum over `x`'s rows.
  at::Tensor Loss(const at::Tensor& x, bool with_head) const {
    const at::Tensor h = at::tanh(at::addmm((*this)[1], x, (*this)[0].t()));
    at::Tensor loss = at::addmm((*this)[3], h, (*this)[2].t()).pow(2).sum();
    if (with_head) loss = loss + at::matmul(h, (*this)[4].t()).sin().sum();
    return loss;
  }
};

at::Tensor Batch(std::int64_t rows, at::ScalarType type) {
  return at::cos(at::arange(rows * 40, at::kDouble) * 0.11).view({rows, 40}).to(type);
}

// This rank's rows of a batch of 12, unequal; the second rank has none when there are three.
at::Tensor MyRows(const at::Tensor& batch, const Communicator& comm) {
  if (comm.size() == 1) return batch;
  if (comm.size() == 3) {
    const std::int64_t starts[] = {0, 5, 5, 12};
    return batch.narrow(0, starts[comm.rank()], starts[comm.rank() + 1] - starts[comm.rank()]);
  }
  const std::int64_t share = 12 / comm.size() + 1;
  const std::int64_t start = comm.rank() * share;
  return batch.narrow(0, start, std::min(share, 12 - start));
}

std::vector<at::Tensor> Grads(const Net& net) {
  std::vector<at::Tensor> grads;
  for (const auto& [name, tensor] : net.parameters) grads.push_back(tensor.grad().clone());
  return grads;
}

class Exchange : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, Exchange, testing::Values(1, 2, 3, 4));

void ExpectWholeBatchGradients(Communicator& comm, at::ScalarType type, double tolerance) {
  const at::Tensor batch = Batch(12, type);
  const Net whole(type);
  whole.Loss(batch, true).backward();
  const Net net(type);
  GradExchange exchange(comm, net.parameters, {});
  for (int step = 0; step < 3; ++step) {
    exchange.Begin();
    net.Loss(MyRows(batch, comm), true).backward();
    exchange.Finalize({});
    double squares = 0;
    for (std::size_t i = 0; i < net.parameters.size(); ++i) {
      const at::Tensor want = whole[i].grad();
      const double largest = want.abs().max().item<double>();
      EXPECT_LE((net[i].grad() - want).abs().max().item<double>(), tolerance * largest)
          << net.parameters[i].first;
      squares += want.to(at::kDouble).pow(2).sum().item<double>();
    }
    EXPECT_NEAR(exchange.GradNorm().item<double>(), std::sqrt(squares),
                10 * tolerance * std::sqrt(squares));
  }
}

TEST_P(Exchange, GradientsAreThoseOfTheWholeBatch) {
  OnRanks(GetParam(), [](Communicator& comm) {
    ExpectWholeBatchGradients(comm, at::kFloat, 1e-5);
    ExpectWholeBatchGradients(comm, at::kDouble, 1e-12);
  });
}

TEST_P(Exchange, BucketSizesGiveTheSameBits) {
  OnRanks(GetParam(), [](Communicator& comm) {
    std::vector<at::Tensor> first;
    double first_norm = 0;
    for (std::size_t bytes : {1 << 10, 16 << 10, 64 << 10, 1 << 20}) {
      const Net net(at::kFloat);
      GradExchange exchange(comm, net.parameters, {.bucket_bytes = bytes});
      exchange.Begin();
      net.Loss(MyRows(Batch(12, at::kFloat), comm), true).backward();
      exchange.Finalize({});
      const auto grads = Grads(net);
      if (first.empty()) {
        first = grads;
        first_norm = exchange.GradNorm().item<double>();
      }
      for (std::size_t i = 0; i < grads.size(); ++i) EXPECT_TRUE(at::equal(grads[i], first[i]));
      EXPECT_EQ(exchange.GradNorm().item<double>(), first_norm);
    }
  });
}

TEST_P(Exchange, UnusedParametersCountAsZero) {
  OnRanks(GetParam(), [](Communicator& comm) {
    const Net net(at::kFloat);
    GradExchange exchange(comm, net.parameters, {.bucket_bytes = 1 << 10});
    // The head: used by nobody, by rank 0 alone, by all.
    for (const int users : {0, 1, comm.size()}) {
      exchange.Begin();
      net.Loss(Batch(2, at::kFloat), comm.rank() < users).backward();
      exchange.Finalize({});
      EXPECT_THAT(exchange.touched(), testing::ElementsAre(true, true, true, true, users > 0));
      const Net alone(at::kFloat);
      alone.Loss(Batch(2, at::kFloat), true).backward();
      EXPECT_TRUE(at::allclose(net[4].grad(), alone[4].grad() * users, 1e-5, 1e-6));
    }
    // A rank without any backward at all.
    exchange.Begin();
    if (comm.rank() == 0) net.Loss(Batch(2, at::kFloat), true).backward();
    exchange.Finalize({});
    EXPECT_THAT(exchange.touched(), testing::Each(true));
    EXPECT_GT(exchange.GradNorm().item<double>(), 0);
  });
}

TEST_P(Exchange, FrozenParametersAreLeftOut) {
  OnRanks(GetParam(), [](Communicator& comm) {
    const Net net(at::kFloat);
    GradExchange exchange(comm, net.parameters, {.bucket_bytes = 1 << 10});
    const auto bytes_of_step = [&] {
      const std::int64_t before = comm.traffic().bytes_sent;
      exchange.Begin();
      net.Loss(Batch(2, at::kFloat), true).backward();
      exchange.Finalize({});
      return comm.traffic().bytes_sent - before;
    };
    const std::int64_t all = bytes_of_step();
    for (int frozen : {0, 1, 4}) net[frozen].requires_grad_(false);
    const std::int64_t some = bytes_of_step();
    EXPECT_THAT(exchange.touched(), testing::ElementsAre(false, false, true, true, false));
    EXPECT_EQ(net[0].grad().abs().max().item<float>(), 0);
    EXPECT_LE(some, all / 2);
    for (int frozen : {0, 1, 4}) net[frozen].requires_grad_(true);
    EXPECT_EQ(bytes_of_step(), all);
    EXPECT_THAT(exchange.touched(), testing::Each(true));
  });
}

TEST_P(Exchange, AccumulationAddsUpAndExchangesOnce) {
  OnRanks(GetParam(), [](Communicator& comm) {
    const at::Tensor batch = Batch(12, at::kDouble);
    const Net whole(at::kDouble);
    whole.Loss(batch, true).backward();
    const Net net(at::kDouble);
    GradExchange exchange(comm, net.parameters, {});
    for (int step = 0; step < 2; ++step) {
      const at::Tensor mine = MyRows(batch, comm);
      const std::int64_t half = mine.size(0) / 2;
      const std::int64_t calls = comm.traffic().calls;
      exchange.Begin(false);
      net.Loss(mine.narrow(0, 0, half), true).backward();
      EXPECT_EQ(comm.traffic().calls, calls);
      exchange.Begin(true);
      net.Loss(mine.narrow(0, half, mine.size(0) - half), true).backward();
      exchange.Finalize({});
      for (std::size_t i = 0; i < net.parameters.size(); ++i) {
        EXPECT_TRUE(at::allclose(net[i].grad(), whole[i].grad(), 1e-10, 1e-12));
      }
    }
    // What only an earlier part touched counts as touched.
    exchange.Begin(false);
    net.Loss(batch, true).backward();
    exchange.Begin(true);
    net.Loss(batch, false).backward();
    exchange.Finalize({});
    EXPECT_THAT(exchange.touched(), testing::Each(true));
  });
}

void ExpectFlagsExact(Communicator& comm, at::ScalarType type) {
  const Net net(type);
  GradExchange exchange(comm, net.parameters, {});
  const double rank = comm.rank();
  const double n = comm.size();
  for (const std::size_t count : {0, 3, 64}) {
    std::vector<double> flags{rank, 1.0 / 3.0, 1e15 + 1};
    flags.resize(count, rank == 0 ? -0.1 : 0);
    exchange.Begin();
    net.Loss(Batch(2, type), true).backward();
    const std::vector<double> sums = exchange.Finalize(flags);
    ASSERT_EQ(sums.size(), count);
    if (count < 3) continue;
    EXPECT_EQ(sums[0], n * (n - 1) / 2);
    double thirds = 0;
    for (int r = 0; r < comm.size(); ++r) thirds += 1.0 / 3.0;
    EXPECT_EQ(sums[1], thirds);
    EXPECT_EQ(sums[2], n * (1e15 + 1));
    EXPECT_EQ(sums.back(), count > 3 ? -0.1 : sums[2]);
  }
  exchange.Begin();
  const double stop[] = {comm.rank() == 0 ? std::nan("") : 1.0};
  EXPECT_TRUE(std::isnan(exchange.Finalize(stop)[0]));
}

TEST_P(Exchange, FlagsRideExactly) {
  OnRanks(GetParam(), [](Communicator& comm) {
    ExpectFlagsExact(comm, at::kFloat);
    ExpectFlagsExact(comm, at::kDouble);
  });
}

TEST_P(Exchange, MisuseIsNamed) {
  OnRanks(GetParam(), [](Communicator& comm) {
    const Net net(at::kFloat);
    GradExchange exchange(comm, net.parameters, {});
    exchange.Begin();
    net.Loss(Batch(2, at::kFloat), true).backward();
    EXPECT_THAT(MessageOf(ExitCode::kBug, [&] { net.Loss(Batch(2, at::kFloat), true).backward(); }),
                HasSubstr("Begin(false)"));
    exchange.Finalize({});
    EXPECT_THAT(MessageOf(ExitCode::kBug, [&] { net.Loss(Batch(2, at::kFloat), true).backward(); }),
                HasSubstr("outside Begin and Finalize"));
    exchange.Begin(false);
    net.Loss(Batch(2, at::kFloat), true).backward();
    net[2].mutable_grad().reset();
    EXPECT_THAT(MessageOf(ExitCode::kBug, [&] { net.Loss(Batch(2, at::kFloat), true).backward(); }),
                AllOf(HasSubstr("w1"), HasSubstr("view of the arena")));
  });
}

TEST_P(Exchange, DifferentModelsAreNamed) {
  OnRanks(GetParam(), [](Communicator& comm) {
    if (comm.size() == 1) return;
    Net net(at::kFloat);
    if (comm.rank() == 1) net.Add("extra", {3, 2}, at::kFloat);
    EXPECT_THAT(MessageOf(ExitCode::kConfig, [&] { GradExchange(comm, net.parameters, {}); }),
                AllOf(HasSubstr("parameter 5 is absent on rank 0"), HasSubstr("extra [3, 2]"),
                      HasSubstr("on rank 1")));
  });
}

}  // namespace
}  // namespace vesalius::dist
