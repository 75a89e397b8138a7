// The differentiable gather against the same computation on one rank, in float64: values, gradients
// of inputs, unequal and zero rows; on 1-4 local ranks, and over MPI when started by mpirun.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "dist/bootstrap.h"
#include "dist/gather.h"
#include "tests/dist/on_ranks.h"

namespace vesalius::dist {
namespace {

using Counts = std::vector<std::int64_t>;

class Gather : public testing::TestWithParam<int> {};

INSTANTIATE_TEST_SUITE_P(Ranks, Gather, testing::Values(1, 2, 3, 4));

// Row counts with a rank that has none.
Counts RowCounts(int ranks) {
  Counts counts;
  for (int r = 0; r < ranks; ++r) counts.push_back(r == 1 ? 0 : 2 * r + 3);
  return counts;
}

std::int64_t Start(const Counts& counts, int rank) {
  return std::accumulate(counts.begin(), counts.begin() + rank, std::int64_t{0});
}

at::Tensor Rows(std::int64_t rows, std::int64_t width, at::ScalarType type) {
  const at::Tensor i = at::arange(rows * width, at::kDouble).view({rows, width});
  return at::sin(i * 0.7 + 0.3).to(type);
}

// A contrastive-like loss: every rank sums over its own rows against all rows; with the whole batch
// as "own" it is the single-rank computation.
at::Tensor Loss(const at::Tensor& own, const at::Tensor& all, std::int64_t start) {
  const at::Tensor logits = at::matmul(own, all.t());
  const at::Tensor weights =
      at::arange(start, start + own.size(0), at::kDouble).to(own.scalar_type()).unsqueeze(1) + 1;
  return (at::logsumexp(logits, 1, true) * weights).sum() + 0.1 * all.pow(3).sum();
}

TEST_P(Gather, GradientIsThatOfOneRank) {
  OnRanks(GetParam(), [](Communicator& comm) {
    const Counts counts = RowCounts(comm.size());
    const std::int64_t total = Start(counts, comm.size());
    const std::int64_t start = Start(counts, comm.rank());
    const at::Tensor full = Rows(total, 5, at::kDouble);

    at::Tensor reference = full.clone().requires_grad_(true);
    // What every rank adds to the sum over ranks of the losses.
    at::Tensor expected_loss = at::zeros({}, at::kDouble);
    for (int r = 0; r < comm.size(); ++r) {
      const at::Tensor own = reference.narrow(0, Start(counts, r), counts[r]);
      expected_loss = expected_loss + Loss(own, reference, Start(counts, r));
    }
    expected_loss.backward();

    at::Tensor mine = full.narrow(0, start, counts[comm.rank()]).clone().requires_grad_(true);
    const at::Tensor all = GatherRows(comm, "features", mine, counts);
    EXPECT_TRUE(at::equal(all, full));
    const at::Tensor loss = Loss(mine, all, start);
    loss.backward();
    const at::Tensor sum = SumOverRanks(comm, "loss", loss);
    EXPECT_NEAR(sum.item<double>(), expected_loss.item<double>(), 1e-9);
    const at::Tensor want = reference.grad().narrow(0, start, counts[comm.rank()]);
    EXPECT_TRUE(at::allclose(mine.grad(), want, 1e-12, 1e-12));
  });
}

TEST_P(Gather, TwoGathersAndHigherRanksInFloat32) {
  OnRanks(GetParam(), [](Communicator& comm) {
    const Counts counts = RowCounts(comm.size());
    const std::int64_t rows = counts[comm.rank()];
    at::Tensor a = at::ones({rows, 2, 3}, at::kFloat).requires_grad_(true);
    at::Tensor b = (at::ones({rows, 1}, at::kFloat) * 2).requires_grad_(true);
    const at::Tensor all_a = GatherRows(comm, "a", a, counts);
    const at::Tensor all_b = GatherRows(comm, "b", b, counts);
    EXPECT_EQ(all_a.sizes(), at::IntArrayRef({Start(counts, comm.size()), 2, 3}));
    (all_a * all_b.unsqueeze(-1)).sum().backward();
    EXPECT_TRUE(at::equal(a.grad(), at::full_like(a, 2.f * comm.size())));
    EXPECT_TRUE(at::equal(b.grad(), at::full_like(b, 6.f * comm.size())));
  });
}

// A rank whose loss does not depend on the values still takes part.
TEST_P(Gather, ALossThatIgnoresTheRowsStillExchanges) {
  OnRanks(GetParam(), [](Communicator& comm) {
    const Counts counts = RowCounts(comm.size());
    at::Tensor x = at::ones({counts[comm.rank()], 4}, at::kFloat).requires_grad_(true);
    const at::Tensor all = GatherRows(comm, "rows", x, counts);
    (all.sum() * (comm.rank() == 0 ? 1. : 0.)).backward();
    EXPECT_TRUE(at::equal(x.grad(), at::ones_like(x)));
  });
}

TEST_P(Gather, CountsAndDetachedRows) {
  OnRanks(GetParam(), [](Communicator& comm) {
    const Counts counts = GatherCounts(comm, "rows", RowCounts(comm.size())[comm.rank()]);
    EXPECT_EQ(counts, RowCounts(comm.size()));
    const std::int64_t total = Start(counts, comm.size());
    const at::Tensor ids = at::arange(total * 2, at::kLong).view({total, 2});
    const at::Tensor mine = ids.narrow(0, Start(counts, comm.rank()), counts[comm.rank()]);
    const at::Tensor all = GatherRowsDetached(comm, "ids", mine, counts);
    EXPECT_TRUE(at::equal(all, ids));
    EXPECT_FALSE(all.requires_grad());
    const at::Tensor flags = at::full({counts[comm.rank()]}, comm.rank() == 0, at::kBool);
    EXPECT_EQ(GatherRowsDetached(comm, "flags", flags, counts).sum().item<std::int64_t>(),
              counts[0]);
  });
}

TEST_P(Gather, CountsOfSeveralKinds) {
  OnRanks(GetParam(), [](Communicator& comm) {
    const Counts rows = RowCounts(comm.size());
    const Counts mine = {rows[comm.rank()], 0, comm.rank() + 1};
    const std::vector<Counts> counts = GatherCounts(comm, "kinds", mine);
    ASSERT_EQ(counts.size(), 3);
    EXPECT_EQ(counts[0], rows);
    EXPECT_EQ(counts[1], Counts(comm.size(), 0));
    for (int r = 0; r < comm.size(); ++r) EXPECT_EQ(counts[2][r], r + 1);
  });
}

TEST_P(Gather, WrongRowCountIsABug) {
  OnRanks(GetParam(), [](Communicator& comm) {
    const Counts counts(comm.size(), 3);
    try {
      GatherRows(comm, "features", at::zeros({2, 4}), counts);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kBug);
      EXPECT_THAT(error.what(), testing::HasSubstr("'features'"));
    }
  });
}

// Errors of collectives come out of backward() with their code.
TEST(GatherFaults, ALostPeerComesOutOfBackward) {
  if (g_mpi != nullptr) GTEST_SKIP() << "local ranks only";
  try {
    RunLocalRanks(2, [](Bootstrap& bootstrap) {
      const auto comm = bootstrap.MakeCommunicator(Device::kCpu, {});
      at::Tensor x = at::ones({2, 4}).requires_grad_(true);
      const at::Tensor all = GatherRows(*comm, "features", x, {2, 2});
      if (bootstrap.rank() == 1) return;
      all.sum().backward();
    });
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kPeerLost);
    EXPECT_THAT(error.what(), testing::HasSubstr("'features (backward)'"));
  }
}

}  // namespace
}  // namespace vesalius::dist
