#include "dist/table/planner.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <limits>

namespace vesalius::dist {
namespace {

constexpr int kRounds = 7, kWarmUp = 2;
// Each strategy is rehearsed twice, with the others between, and its quicker median counts: what
// disturbs the machine for a while does not decide.
constexpr int kPasses = 2;
constexpr TableStrategy kStrategies[] = {TableStrategy::kReplicated, TableStrategy::kRows,
                                         TableStrategy::kColumns};

void Step(ShardedTable& table, const at::Tensor& ids, const at::Tensor& gradient) {
  const at::Tensor rows = table.Lookup(ids);
  if (!rows.requires_grad()) return;
  rows.backward(gradient);
  table.Step(0);
}

// This rank's median seconds of a step.
double Rehearse(Communicator& comm, const TableOptions& options, const at::Tensor& ids,
                const at::Tensor& gradient) {
  const at::AutoGradMode grad(true);
  ShardedTable table(comm, options);
  std::array<double, kRounds> seconds{};
  for (int round = -kWarmUp; round < kRounds; ++round) {
    comm.Barrier("table plan").Wait();
    const auto start = std::chrono::steady_clock::now();
    Step(table, ids, gradient);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (round >= 0) seconds[static_cast<std::size_t>(round)] = taken.count();
  }
  std::nth_element(seconds.begin(), seconds.begin() + kRounds / 2, seconds.end());
  return seconds[kRounds / 2];
}

// Bytes of rows and state of the largest block under a strategy.
double BlockBytes(const TableOptions& options, TableStrategy strategy, int ranks) {
  const double value = options.float64 ? 8 : 4;
  const double copies = options.optimiser == SparseOptimiser::kLazyAdam ? 3 : 1;
  const TableBlock block = TableLayout{strategy, options.rows, options.width, ranks}.Block(0);
  return static_cast<double>(block.rows) * static_cast<double>(block.columns) * value * copies;
}

}  // namespace

TablePlan PlanTable(Communicator& comm, TableOptions options, const at::Tensor& ids) {
  TablePlan plan;
  if (comm.size() == 1) return plan;
  const at::Tensor gradient =
      at::zeros({ids.numel(), options.width}, options.float64 ? at::kDouble : at::kFloat);
  double least = std::numeric_limits<double>::infinity();
  for (const TableStrategy strategy : kStrategies)
    least = std::min(least, BlockBytes(options, strategy, comm.size()));
  plan.seconds.fill(std::numeric_limits<double>::infinity());
  for (int pass = 0; pass < kPasses; ++pass) {
    for (std::size_t i = 0; i < std::size(kStrategies); ++i) {
      options.strategy = kStrategies[i];
      const double bytes = BlockBytes(options, kStrategies[i], comm.size());
      // The same on every rank even where budgets differ: some rank's is too small.
      std::vector<double> too_large{bytes > static_cast<double>(options.fast_bytes) ? 1.0 : 0.0};
      AllReduceNow(comm, "table plan", too_large);
      if (too_large[0] > 0 && bytes > least) continue;
      std::vector<double> seconds(static_cast<std::size_t>(comm.size()), 0.0);
      seconds[static_cast<std::size_t>(comm.rank())] = Rehearse(comm, options, ids, gradient);
      AllReduceNow(comm, "table plan", seconds);
      plan.seconds[i] =
          std::min(plan.seconds[i], *std::max_element(seconds.begin(), seconds.end()));
    }
  }
  plan.strategy = kStrategies[std::min_element(plan.seconds.begin(), plan.seconds.end()) -
                              plan.seconds.begin()];
  return plan;
}

}  // namespace vesalius::dist
