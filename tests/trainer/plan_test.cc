// What `vesalius plan` says of a run against what the run itself counts.
#include "trainer/plan.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/trainer/real_step.h"
#include "tests/util/message_of.h"

namespace vesalius::trainer {
namespace {

using dist::Kind;

// What a kind of collective of the gradients and parameters sends by the plan.
std::int64_t Planned(const nlohmann::ordered_json& plan, Kind kind) {
  std::int64_t bytes = 0;
  for (const auto& calls : plan.at("collectives"))
    if (calls.at("kind") == dist::Name(kind)) bytes += calls.at("bytes_sent").get<std::int64_t>();
  return bytes;
}

// Rank 0's step among ranks of this process.
Counted CountLocal(int ranks, const std::vector<std::string>& set) {
  Counted out;
  dist::RunLocalRanks(ranks, [&](dist::Bootstrap& bootstrap) {
    const Counted mine = Count(bootstrap, set);
    if (bootstrap.rank() == 0) out = mine;
  });
  return out;
}

TEST(Plan, GradientBytesAreThoseOfRealRanks) {
  for (const int ranks : {1, 2, 4}) {
    for (const char* exchange : {"all_reduce", "zero1"}) {
      const std::vector<std::string> set = {StrCat("dist.exchange=", exchange)};
      const auto plan = MakePlan(Options(ranks, set));
      const Counted counted = CountLocal(ranks, set);
      for (const Kind kind : {Kind::kAllReduce, Kind::kReduceScatter})
        EXPECT_EQ(Planned(plan, kind), counted.traffic.of(kind).bytes_sent)
            << dist::Name(kind) << ", " << exchange << " on " << ranks;
    }
  }
}

// The pair loss exchanges as much whatever the texts are: here every byte is foreseen, but those of
// the trace, which is not part of a step.
TEST(Plan, EveryByteOfImagesAndReports) {
  const std::vector<std::string> set = {"loss.fine=0", "loss.pair=1", "data.report_length=32",
                                        "dist.contrast=ring"};
  for (const int ranks : {2, 4}) {
    const auto plan = MakePlan(Options(ranks, set));
    EXPECT_EQ(plan.at("bytes_sent"), CountLocal(ranks, set).traffic.bytes_sent) << ranks;
  }
}

TEST(Plan, MemoryOfAStepIsWithinFivePercent) {
  for (const char* batch : {"8", "24"}) {
    const std::vector<std::string> set = {StrCat("trainer.global_batch=", batch)};
    const double planned = MakePlan(Options(1, set)).at("memory").at("step");
    EXPECT_NEAR(planned, static_cast<double>(CountLocal(1, set).step_bytes), 0.05 * planned)
        << batch;
  }
}

TEST(Plan, ShardsTheOptimiserOverRanks) {
  const auto alone = MakePlan(Options(1)), shared = MakePlan(Options(4, {"dist.exchange=zero1"}));
  EXPECT_EQ(alone.at("memory").at("optimiser"), 2 * alone.at("memory").at("parameters").get<int>());
  EXPECT_NEAR(shared.at("memory").at("optimiser").get<double>(),
              alone.at("memory").at("optimiser").get<double>() / 4,
              0.1 * alone.at("memory").at("optimiser").get<double>());
}

TEST(Plan, NamesWhatItLeavesOut) {
  EXPECT_TRUE(MakePlan(Options(2)).at("left_out").empty());
  for (const char* preset : {"knowledge", "frozen_text"}) {
    PlanOptions options = Options(2);
    options.preset = preset;
    options.nodes = 2;
    EXPECT_EQ(MakePlan(options).at("left_out").size(), 1u) << preset;
  }
}

TEST(Plan, RefusesWhatDoesNotFit) {
  EXPECT_NE(MessageOf(ExitCode::kConfig, [] { MakePlan(Options(0)); }).find("--ranks-per-node"),
            std::string::npos);
  EXPECT_NE(
      MessageOf(ExitCode::kConfig, [] { MakePlan(Options(9)); }).find("less than the 9 ranks"),
      std::string::npos);
}

}  // namespace
}  // namespace vesalius::trainer
