// A sharded table is a plain table: look-ups, updates and state against a float64 one held by a
// single process, for every strategy, optimiser and number of ranks.
#include <ATen/ATen.h>

#include <map>
#include <numeric>

#include "base/error.h"
#include "base/random.h"
#include "dist/gather.h"
#include "dist/table/sharded_table.h"
#include "tests/dist/on_ranks.h"

namespace vesalius::dist {
namespace {

constexpr std::int64_t kRows = 37, kWidth = 40;
constexpr TableStrategy kStrategies[] = {TableStrategy::kReplicated, TableStrategy::kRows,
                                         TableStrategy::kColumns};

at::Tensor Values(std::uint64_t stream, std::int64_t rows, std::int64_t width) {
  Random random(5, Purpose::kTest, stream);
  at::Tensor out = at::empty({rows, width}, at::kDouble);
  for (double *x = out.mutable_data_ptr<double>(), *end = x + out.numel(); x != end; ++x)
    *x = random.Normal();
  return out;
}

// The ids of one rank in one step: repeated, some rows never; none on rank 1 in even steps.
at::Tensor Ids(int step, int rank, int ranks) {
  Random random(6, Purpose::kTest, static_cast<std::uint64_t>(step),
                static_cast<std::uint64_t>(rank));
  const bool none = ranks > 1 && rank == 1 && step % 2 == 0;
  std::vector<std::int64_t> ids(none ? 0 : 20 + random.Below(30));
  for (auto& id : ids) id = static_cast<std::int64_t>(random.Below(kRows - 5) / (1 + step % 3));
  return at::tensor(ids, at::kLong);
}

// What the table should hold, in float64 and by the book; gradients of all ranks in rank order.
class Reference {
 public:
  explicit Reference(SparseOptimiser optimiser) : optimiser_(optimiser) {
    values = Values(0, kRows, kWidth);
    moment1 = at::zeros_like(values);
    moment2 = at::zeros_like(values);
    squares = at::zeros({kRows}, at::kDouble);
    last.assign(kRows, 0);
  }

  void Step(const std::vector<at::Tensor>& ids, const std::vector<at::Tensor>& gradients, double lr,
            const TableOptions& options) {
    ++step_;
    std::map<std::int64_t, at::Tensor> sums;
    for (std::size_t r = 0; r < ids.size(); ++r)
      for (std::int64_t i = 0; i < ids[r].numel(); ++i) {
        const auto id = ids[r][i].item<std::int64_t>();
        auto& sum = sums[id];
        sum = sum.defined() ? sum + gradients[r][i] : gradients[r][i].clone();
      }
    for (const auto& [id, g] : sums) {
      if (optimiser_ == SparseOptimiser::kRowwiseAdagrad) {
        squares[id] += g.square().mean();
        values[id] -= lr * g / (squares[id].sqrt() + options.eps);
        continue;
      }
      const auto gap = static_cast<double>(step_ - last[id]);
      last[id] = step_;
      moment1[id] = moment1[id] * std::pow(options.beta1, gap) + (1 - options.beta1) * g;
      moment2[id] = moment2[id] * std::pow(options.beta2, gap) + (1 - options.beta2) * g * g;
      const at::Tensor m = moment1[id] / (1 - std::pow(options.beta1, step_));
      const at::Tensor v = moment2[id] / (1 - std::pow(options.beta2, step_));
      values[id] -= lr * m / (v.sqrt() + options.eps);
    }
  }

  at::Tensor values, moment1, moment2, squares;
  std::vector<int> last;

 private:
  SparseOptimiser optimiser_;
  int step_ = 0;
};

TableOptions Options(TableStrategy strategy, SparseOptimiser optimiser, bool float64) {
  TableOptions options;
  options.name = "test table";
  options.rows = kRows;
  options.width = kWidth;
  options.strategy = strategy;
  options.optimiser = optimiser;
  options.float64 = float64;
  return options;
}

// A share of the rows for each rank, uneven, none for the last of several.
void FillWith(ShardedTable& table, const at::Tensor& values, const Communicator& comm) {
  const int ranks = comm.size(), rank = comm.rank();
  const int givers = std::max(1, ranks - 1);
  const auto cut = [&](int r) { return r >= givers ? kRows : r * (kRows / givers); };
  table.Fill(values.slice(0, cut(rank), cut(rank + 1)));
}

at::Tensor AllRows(ShardedTable& table) {
  const at::NoGradGuard no_grad;
  return table.Lookup(at::arange(kRows, at::kLong)).to(at::kDouble);
}

// One differentiable look-up whose gradient is `gradient`.
void Backward(ShardedTable& table, const at::Tensor& ids, const at::Tensor& gradient) {
  const at::Tensor rows = table.Lookup(ids);
  (rows * gradient.to(rows.scalar_type())).sum().backward();
}

double WorstError(const at::Tensor& mine, const at::Tensor& expected) {
  return (mine - expected).abs().max().item<double>();
}

class TableTest : public testing::TestWithParam<int> {};

TEST_P(TableTest, LooksUpRepeatedIdsAndNone) {
  OnRanks(GetParam(), [](Communicator& comm) {
    for (const TableStrategy strategy : kStrategies) {
      ShardedTable table(comm, Options(strategy, SparseOptimiser::kFrozen, true));
      const at::Tensor values = Values(0, kRows, kWidth);
      FillWith(table, values, comm);
      for (int step = 0; step < 4; ++step) {
        const at::Tensor ids = Ids(step, comm.rank(), comm.size());
        const at::Tensor rows = table.Lookup(ids);
        EXPECT_FALSE(rows.requires_grad());
        EXPECT_TRUE(at::equal(rows, values.index_select(0, ids))) << Name(strategy);
      }
      const TableStats stats = table.stats();
      EXPECT_LE(stats.unique, stats.ids);
      if (comm.size() == 1 || strategy == TableStrategy::kReplicated) {
        EXPECT_EQ(stats.bytes_sent, 0);
      }
    }
  });
}

TEST_P(TableTest, OneOwnerOfAllIds) {
  OnRanks(GetParam(), [](Communicator& comm) {
    ShardedTable table(comm, Options(TableStrategy::kRows, SparseOptimiser::kFrozen, false));
    FillWith(table, Values(0, kRows, kWidth), comm);
    const at::Tensor ids = at::zeros({9}, at::kLong);
    EXPECT_TRUE(
        at::equal(table.Lookup(ids), Values(0, 1, kWidth).expand({9, kWidth}).to(at::kFloat)));
  });
}

void ExpectLearnsLikeReference(Communicator& comm, TableStrategy strategy,
                               SparseOptimiser optimiser, bool float64, std::size_t fast_bytes) {
  TableOptions options = Options(strategy, optimiser, float64);
  options.fast_bytes = fast_bytes;
  ShardedTable table(comm, options);
  Reference reference(optimiser);
  FillWith(table, reference.values, comm);
  for (int step = 0; step < 12; ++step) {
    std::vector<at::Tensor> ids, gradients;
    for (int rank = 0; rank < comm.size(); ++rank) {
      ids.push_back(Ids(step, rank, comm.size()));
      gradients.push_back(
          Values(static_cast<std::uint64_t>(100 + step * 8 + rank), ids.back().numel(), kWidth));
    }
    const double lr = 0.01 / (1 + step), scale = step == 3 ? 0.5 : 1;
    Backward(table, ids[comm.rank()], gradients[comm.rank()]);
    table.Step(lr, scale);
    for (at::Tensor& gradient : gradients) gradient = gradient * scale;
    reference.Step(ids, gradients, lr, options);
  }
  const double bound = float64 ? 1e-13 : 1e-6;
  EXPECT_LE(WorstError(AllRows(table), reference.values), bound)
      << Name(strategy) << ", optimiser " << static_cast<int>(optimiser);
}

TEST_P(TableTest, LearnsLikeAFloat64TableOnOneProcess) {
  OnRanks(GetParam(), [](Communicator& comm) {
    for (const TableStrategy strategy : kStrategies)
      for (const auto optimiser : {SparseOptimiser::kRowwiseAdagrad, SparseOptimiser::kLazyAdam})
        for (const bool float64 : {false, true})
          ExpectLearnsLikeReference(comm, strategy, optimiser, float64,
                                    std::numeric_limits<std::size_t>::max());
  });
}

TEST_P(TableTest, LearnsTheSameInSlowMemory) {
  OnRanks(GetParam(), [](Communicator& comm) {
    for (const std::size_t fast : {0, 5000})
      ExpectLearnsLikeReference(comm, TableStrategy::kRows, SparseOptimiser::kLazyAdam, false,
                                fast);
    TableOptions options = Options(TableStrategy::kRows, SparseOptimiser::kFrozen, false);
    options.rows = 20000;
    options.fast_bytes = 1 << 16;
    EXPECT_GT(ShardedTable(comm, options).slow_bytes(), std::size_t{1} << 18);
  });
}

TEST_P(TableTest, LookupsAddUpUntilTheStep) {
  OnRanks(GetParam(), [](Communicator& comm) {
    for (const TableStrategy strategy : kStrategies) {
      const TableOptions options = Options(strategy, SparseOptimiser::kLazyAdam, true);
      ShardedTable parts(comm, options), whole(comm, options);
      for (ShardedTable* table : {&parts, &whole}) FillWith(*table, Values(0, kRows, kWidth), comm);
      for (int step = 0; step < 3; ++step) {
        const at::Tensor a = Ids(step, comm.rank(), comm.size()), b = Ids(step + 1, comm.rank(), 1);
        const at::Tensor ga = Values(7, a.numel(), kWidth), gb = Values(8, b.numel(), kWidth);
        Backward(parts, a, ga);
        {
          const at::NoGradGuard no_grad;  // leaves nothing behind
          parts.Lookup(b);
        }
        Backward(parts, b, gb);
        // Rank 0's third look-up never reaches its loss: zeros.
        const at::Tensor unused = parts.Lookup(at::zeros({comm.rank() == 0 ? 2 : 0}, at::kLong));
        parts.Step(0.01);
        Backward(whole, at::cat({a, b, at::zeros({comm.rank() == 0 ? 2 : 0}, at::kLong)}),
                 at::cat({ga, gb, at::zeros({comm.rank() == 0 ? 2 : 0, kWidth}, at::kDouble)}));
        whole.Step(0.01);
      }
      EXPECT_LE(WorstError(AllRows(parts), AllRows(whole)), 1e-13) << Name(strategy);
      const at::Tensor before = AllRows(whole);
      whole.Step(0.01);  // nothing was looked up
      EXPECT_TRUE(at::equal(AllRows(whole), before));
    }
  });
}

TEST_P(TableTest, AllStrategiesAreTheSameBits) {
  OnRanks(GetParam(), [](Communicator& comm) {
    for (const auto optimiser : {SparseOptimiser::kRowwiseAdagrad, SparseOptimiser::kLazyAdam})
      for (const bool float64 : {false, true}) {
        ShardedTable a(comm, Options(TableStrategy::kReplicated, optimiser, float64));
        ShardedTable b(comm, Options(TableStrategy::kRows, optimiser, float64));
        ShardedTable c(comm, Options(TableStrategy::kColumns, optimiser, float64));
        for (ShardedTable* table : {&a, &b, &c}) FillWith(*table, Values(0, kRows, kWidth), comm);
        for (int step = 0; step < 6; ++step) {
          const at::Tensor ids = Ids(step, comm.rank(), comm.size());
          const at::Tensor gradient =
              Values(static_cast<std::uint64_t>(step + comm.rank()), ids.numel(), kWidth);
          for (ShardedTable* table : {&a, &b, &c}) {
            Backward(*table, ids, gradient);
            table->Step(0.02);
          }
        }
        EXPECT_TRUE(at::equal(AllRows(a), AllRows(b)));
        EXPECT_TRUE(at::equal(AllRows(a), AllRows(c)));
      }
  });
}

TEST_P(TableTest, RefusesIdsOutOfRange) {
  OnRanks(1, [](Communicator& comm) {
    if (comm.size() > 1) return;  // the others would wait
    ShardedTable table(comm, Options(TableStrategy::kRows, SparseOptimiser::kFrozen, false));
    for (const std::int64_t id : {std::int64_t{-1}, kRows})
      EXPECT_THROW(table.Lookup(at::full({1}, id, at::kLong)), Error);
  });
}

// Copies the boxes of `from` into those of `to` through whole tensors, as a checkpoint does.
void Transfer(Communicator& comm, ShardedTable& from, ShardedTable& to) {
  const at::NoGradGuard no_grad;
  std::vector<TableState> source = from.State(), target = to.State();
  ASSERT_EQ(source.size(), target.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    ASSERT_EQ(source[i].what, target[i].what);
    const auto box = [](at::Tensor whole, const TableState& state) {
      for (std::size_t d = 0; d < state.offset.size(); ++d)
        whole = whole.narrow(static_cast<std::int64_t>(d), state.offset[d],
                             state.part.size(static_cast<std::int64_t>(d)));
      return whole;
    };
    at::Tensor sum = at::zeros(source[i].shape, at::kDouble), holders = at::zeros_like(sum);
    box(sum, source[i]).add_(source[i].part);
    box(holders, source[i]).add_(1);
    const at::Tensor whole =
        SumOverRanks(comm, "sum", sum) / SumOverRanks(comm, "holders", holders);
    target[i].part.copy_(box(whole, target[i]));
  }
}

TEST_P(TableTest, StateMovesBetweenStrategies) {
  OnRanks(GetParam(), [](Communicator& comm) {
    for (const auto optimiser : {SparseOptimiser::kRowwiseAdagrad, SparseOptimiser::kLazyAdam})
      for (const TableStrategy before : kStrategies)
        for (const TableStrategy after : kStrategies) {
          ShardedTable a(comm, Options(before, optimiser, true));
          ShardedTable b(comm, Options(after, optimiser, true));
          FillWith(a, Values(0, kRows, kWidth), comm);
          const at::Tensor ids = Ids(1, comm.rank(), comm.size());
          const at::Tensor gradient = Values(3, ids.numel(), kWidth);
          Backward(a, ids, gradient);
          a.Step(0.01);
          Transfer(comm, a, b);
          for (ShardedTable* table : {&a, &b}) {
            Backward(*table, ids, gradient);
            table->Step(0.01);
          }
          EXPECT_LE(WorstError(AllRows(a), AllRows(b)), 1e-14)
              << Name(before) << " to " << Name(after);
        }
  });
}

// Bytes of a rank, counted: a quarter or less of what ids and rows of every position would take.
TEST_P(TableTest, SendsDistinctIdsOnly) {
  OnRanks(GetParam(), [](Communicator& comm) {
    if (comm.size() == 1) return;
    TableOptions options = Options(TableStrategy::kRows, SparseOptimiser::kRowwiseAdagrad, false);
    ShardedTable table(comm, options);
    const at::Tensor ids = at::arange(1000, at::kLong).remainder(20);
    Backward(table, ids, Values(1, 1000, kWidth));
    table.Step(0.1);
    const TableStats stats = table.stats();
    EXPECT_EQ(stats.ids, 1000);
    EXPECT_EQ(stats.unique, 20);
    EXPECT_GT(stats.bytes_sent, 0);
    EXPECT_LT(stats.bytes_sent, 1000 * 2 * kWidth * 4 / 4);
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, TableTest, testing::Values(1, 2, 3, 4));

}  // namespace
}  // namespace vesalius::dist
