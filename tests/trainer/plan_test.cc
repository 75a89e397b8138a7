// What `vesalius plan` says of a run against what the run itself counts.
#include "trainer/plan.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/strings.h"
#include "data/loader/pipeline.h"
#include "data/phantom/phantom.h"
#include "dist/bootstrap.h"
#include "ops/cpu_memory.h"
#include "tests/util/message_of.h"
#include "tests/util/temp_dir.h"
#include "trainer/train_step.h"
#include "trainer/wordpieces.h"

namespace vesalius::trainer {
namespace {

using dist::Kind;

const std::string& Data() {
  static const TempDir folder;
  static const std::string path = [] {
    data::WritePhantom({folder.path() + "/data", 80, 1, 64, {}});
    return folder.path() + "/data";
  }();
  return path;
}

PlanOptions Options(int ranks, std::vector<std::string> set = {}) {
  PlanOptions options;
  options.preset = "tiny";
  options.data = Data();
  options.ranks_per_node = ranks;
  options.set = std::move(set);
  options.set.emplace_back("trainer.threads=1");
  return options;
}

// What a kind of collective of the gradients and parameters sends by the plan.
std::int64_t Planned(const nlohmann::ordered_json& plan, Kind kind) {
  std::int64_t bytes = 0;
  for (const auto& calls : plan.at("collectives"))
    if (calls.at("kind") == dist::Name(kind)) bytes += calls.at("bytes_sent").get<std::int64_t>();
  return bytes;
}

// Rank 0's third step with real ranks: bytes by kind, and the peak of the allocator above what was
// live before it.
struct Counted {
  dist::Traffic traffic;
  std::int64_t step_bytes = 0;
};

Counted Count(int ranks, const std::vector<std::string>& set) {
  Counted out;
  const Config config = LoadConfig("tiny", "", Options(ranks, set).set);
  const auto dataset = OpenTraining(Data(), "");
  const ModelVocabulary words =
      VocabularyOf(dataset->vocabulary(), dataset->vocabulary().wordpieces);
  dist::RunLocalRanks(ranks, [&](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    TrainStep step(config, words, at::kCPU, *comm);
    step.model().SetStage(3);
    data::PipelineOptions loader = LoaderOptionsOf(config);
    loader.rank = comm->rank();
    loader.ranks = comm->size();
    loader.workers = 0;
    loader.report_length = step.model().NeedsReports() ? config.data.report_length : 0;
    data::Pipeline pipeline({dataset}, loader, {});
    const data::Batch batch = pipeline.Next();
    const model::BatchTensors tensors =
        ToTensors(batch, dataset->vocabulary().findings.size(),
                  dataset->vocabulary().image_labels.size(), at::kFloat, at::kCPU);
    for (int s = 0; s < 3; ++s) {
      const dist::Traffic before = comm->traffic();
      const ops::CpuMemoryMeter meter;
      PhaseClock clock;
      step.Run(s, tensors, 1e-6, {}, clock);
      step.model();
      if (comm->rank() != 0) continue;
      out.traffic = comm->traffic() - before;
      out.step_bytes = meter.peak();
    }
  });
  return out;
}

TEST(Plan, GradientBytesAreThoseOfRealRanks) {
  for (const int ranks : {1, 2, 4}) {
    for (const char* exchange : {"all_reduce", "zero1"}) {
      const std::vector<std::string> set = {StrCat("dist.exchange=", exchange)};
      const auto plan = MakePlan(Options(ranks, set));
      const Counted counted = Count(ranks, set);
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
    EXPECT_EQ(plan.at("bytes_sent"), Count(ranks, set).traffic.bytes_sent) << ranks;
  }
}

TEST(Plan, MemoryOfAStepIsWithinFivePercent) {
  for (const char* batch : {"8", "24"}) {
    const std::vector<std::string> set = {StrCat("trainer.global_batch=", batch)};
    const double planned = MakePlan(Options(1, set)).at("memory").at("step");
    EXPECT_NEAR(planned, static_cast<double>(Count(1, set).step_bytes), 0.05 * planned) << batch;
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
