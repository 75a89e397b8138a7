// Plans of the tiny preset and the same steps with real ranks, for tests that compare the two.
#pragma once

#include <string>
#include <vector>

#include "base/strings.h"
#include "data/loader/pipeline.h"
#include "data/phantom/phantom.h"
#include "dist/bootstrap.h"
#include "ops/cpu_memory.h"
#include "tests/util/temp_dir.h"
#include "trainer/plan.h"
#include "trainer/train_step.h"
#include "trainer/wordpieces.h"

namespace vesalius::trainer {

inline const std::string& Data() {
  static const TempDir folder;
  static const std::string path = [] {
    data::WritePhantom({folder.path() + "/data", 80, 1, 64, {}});
    return folder.path() + "/data";
  }();
  return path;
}

inline PlanOptions Options(int ranks, std::vector<std::string> set = {}) {
  PlanOptions options;
  options.preset = "tiny";
  options.data = Data();
  options.ranks_per_node = ranks;
  options.set = std::move(set);
  options.set.emplace_back("trainer.threads=1");
  return options;
}

// This rank's third step: bytes by kind, and the peak of the allocator above what was live before
// it. The allocator is the process's: peaks are of one rank only where each has its process.
struct Counted {
  dist::Traffic traffic;
  std::int64_t step_bytes = 0;
};

inline Counted Count(dist::Bootstrap& bootstrap, const std::vector<std::string>& set) {
  const Config config = LoadConfig("tiny", "", Options(bootstrap.size(), set).set);
  const auto dataset = OpenTraining(Data(), "");
  const ModelVocabulary words =
      VocabularyOf(dataset->vocabulary(), dataset->vocabulary().wordpieces);
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
  Counted out;
  for (int s = 0; s < 3; ++s) {
    const dist::Traffic before = comm->traffic();
    const ops::CpuMemoryMeter meter;
    PhaseClock clock;
    step.Run(s, {&tensors, 1}, 1e-6, {}, clock);
    step.model();
    out = {comm->traffic() - before, meter.peak()};
  }
  return out;
}

}  // namespace vesalius::trainer
