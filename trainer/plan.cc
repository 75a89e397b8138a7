#include "trainer/plan.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "data/loader/pipeline.h"
#include "data/phantom/phantom.h"
#include "dist/rehearsal.h"
#include "model/flops.h"
#include "ops/cpu_memory.h"
#include "trainer/device.h"
#include "trainer/train_step.h"
#include "trainer/wordpieces.h"

namespace vesalius::trainer {
namespace {

constexpr double kFlopBudget = 1e12;  // of a rehearsed step
constexpr std::int64_t kFew = 2;      // images of the smallest rehearsal
constexpr std::int64_t kPhantomStudies = 400;
constexpr int kStage = 3;              // the dearest
constexpr int kSteps = 3;              // the last one counts; the others lay out and warm up
constexpr double kBackward = 2.0 / 3;  // share of the work during which gradients leave

using Json = nlohmann::ordered_json;

struct Inputs {
  Config config;
  std::shared_ptr<const data::Dataset> dataset;
  ModelVocabulary vocabulary;
};

// What one step of `images` images needs on a rank: bytes, seconds, operations.
struct Rehearsed {
  double images = 0, parameters = 0;
  double parameter_bytes = 0, gradient_bytes = 0, optimiser_bytes = 0, step_bytes = 0;
  double seconds = 0, flops = 0;
  std::vector<dist::RehearsedCalls> calls;
};

// Forward and backward of the texts, without their padding.
double TextFlops(const model::TextConfig& config, const at::Tensor& ids) {
  double flops = 0;
  for (std::int64_t row = 0; row < ids.size(0); ++row)
    flops += model::TextFlops(config, ids[row].ne(0).sum().item<std::int64_t>());
  return 3 * flops;
}

double ImageFlops(const model::VisionConfig& config) { return 3 * model::VisionFlops(config); }

void CountState(TrainStep& step, Rehearsed* out) {
  for (const model::ParameterInfo& parameter : step.parameters()) {
    out->parameters += static_cast<double>(parameter.tensor.numel());
    out->parameter_bytes += static_cast<double>(parameter.tensor.nbytes());
  }
  for (const AdamW::State& state : step.optimiser().states())
    out->optimiser_bytes += static_cast<double>(state.moment1.nbytes() + state.moment2.nbytes());
}

data::Batch FirstBatch(const Inputs& in, const model::Recipe& recipe, std::int64_t images) {
  data::PipelineOptions loader = LoaderOptionsOf(in.config);
  loader.global_batch = images;
  loader.workers = 0;
  loader.report_length = recipe.NeedsReports() ? in.config.data.report_length : 0;
  loader.region_texts = recipe.NeedsRegionTexts(kStage);
  return data::Pipeline({in.dataset}, loader, {}).Next();
}

Rehearsed Rehearse(const Inputs& in, const PlanOptions& options, std::int64_t images) {
  dist::Rehearsal group(options.nodes, options.ranks_per_node);
  TrainStep step(in.config, in.vocabulary, at::kCPU, group.comm());
  step.model().SetStage(kStage);
  const data::Batch batch = FirstBatch(in, step.model(), images);
  const data::Vocabulary& words = in.dataset->vocabulary();
  const model::BatchTensors tensors =
      ToTensors(batch, words.findings.size(), words.image_labels.size(),
                in.config.trainer.float64 ? at::kDouble : at::kFloat, at::kCPU);

  Rehearsed out;
  out.images = static_cast<double>(images);
  out.flops = out.images * ImageFlops(in.config.model.vision) +
              TextFlops(in.config.model.text, tensors.texts) +
              TextFlops(in.config.model.text, tensors.reports);
  for (int s = 0; s < kSteps; ++s) {
    group.Reset();
    const ops::CpuMemoryMeter meter;
    PhaseClock clock;
    step.Run(s, {&tensors, 1}, /*lr=*/1e-6, {}, clock);
    step.model();  // waits for what the step published
    out.step_bytes = static_cast<double>(meter.peak());
    out.seconds = clock.total();
  }
  CountState(step, &out);
  out.gradient_bytes = static_cast<double>(group.allocated_bytes());
  out.calls = group.calls();
  return out;
}

// The line through two rehearsals, at `images`. What does not depend on the batch is b's.
Rehearsed Extrapolate(const Rehearsed& a, const Rehearsed& b, double images) {
  const auto at = [&](double x, double y) {
    return x + (y - x) * (images - a.images) / (b.images - a.images);
  };
  Rehearsed out = b;
  out.step_bytes = at(a.step_bytes, b.step_bytes);
  out.seconds = at(a.seconds, b.seconds);
  out.flops = at(a.flops, b.flops);
  for (dist::RehearsedCalls& calls : out.calls) {
    const auto same = std::ranges::find_if(a.calls, [&](const dist::RehearsedCalls& other) {
      return other.name == calls.name && other.kind == calls.kind && other.ranks == calls.ranks;
    });
    if (same == a.calls.end()) continue;
    calls.bytes_sent = std::llround(
        at(static_cast<double>(same->bytes_sent), static_cast<double>(calls.bytes_sent)));
  }
  return out;
}

// A small rehearsal tells what an image costs; a batch that would take too long, or holds more
// images than there are, is extrapolated from it and one twice as large or larger.
Rehearsed RehearseOrExtrapolate(const Inputs& in, const PlanOptions& options, std::int64_t images,
                                std::int64_t* rehearsed) {
  *rehearsed = std::min(images, kFew);
  Rehearsed few = Rehearse(in, options, *rehearsed);
  if (*rehearsed == images) return few;
  const auto affordable = static_cast<std::int64_t>(kFlopBudget * few.images / few.flops);
  *rehearsed = std::min({images, std::max(affordable, 2 * kFew), in.dataset->size()});
  Rehearsed many = Rehearse(in, options, *rehearsed);
  return *rehearsed == images ? many : Extrapolate(few, many, static_cast<double>(images));
}

// Seconds of all `calls`, which a group of ranks made: inside a node, or one of every node.
double SecondsOf(const dist::RehearsedCalls& calls, const PlanOptions& options) {
  const int on_node = std::min(calls.ranks, options.ranks_per_node);
  const int nodes = std::max(1, calls.ranks / options.ranks_per_node);
  const auto count = static_cast<double>(calls.calls);
  const double bytes = static_cast<double>(calls.bytes_sent) / count;
  const double across = nodes > 1 ? bytes / options.ranks_per_node : 0;
  return count * dist::Seconds(options.links, calls.kind, nodes, on_node, bytes, across);
}

Json MemoryOf(const Rehearsed& found) {
  return {{"parameters", std::llround(found.parameter_bytes)},
          {"gradients", std::llround(found.gradient_bytes)},
          {"optimiser", std::llround(found.optimiser_bytes)},
          {"step", std::llround(found.step_bytes)},
          {"total", std::llround(found.parameter_bytes + found.gradient_bytes +
                                 found.optimiser_bytes + found.step_bytes)}};
}

// Gradients leave while backward still runs; everything else is waited for.
void AddCommunication(const Rehearsed& found, const PlanOptions& options, double images,
                      Json* plan) {
  double sent = 0, behind_backward = 0, waited = 0;
  Json list = Json::array();
  for (const dist::RehearsedCalls& calls : found.calls) {
    const double seconds = SecondsOf(calls, options);
    list.push_back({{"name", calls.name},
                    {"kind", dist::Name(calls.kind)},
                    {"ranks", calls.ranks},
                    {"calls", calls.calls},
                    {"bytes_sent", calls.bytes_sent},
                    {"seconds", seconds}});
    sent += static_cast<double>(calls.bytes_sent);
    (calls.name.starts_with("gradient") ? behind_backward : waited) += seconds;
  }
  const double compute = options.tflops > 0 ? found.flops / (options.tflops * 1e12) : found.seconds;
  const double exposed = waited + std::max(0.0, behind_backward - compute * kBackward);
  (*plan)["collectives"] = list;
  (*plan)["bytes_sent"] = std::llround(sent);
  (*plan)["seconds"] = {{"compute", compute},
                        {"communication", behind_backward + waited},
                        {"exposed", exposed},
                        {"step", compute + exposed}};
  (*plan)["samples_per_s"] = images / (compute + exposed);
}

}  // namespace

nlohmann::ordered_json MakePlan(const PlanOptions& options) {
  Inputs in{LoadConfig(options.preset, options.config_file, options.set), nullptr, {}};
  const std::int64_t ranks = std::int64_t{options.nodes} * options.ranks_per_node;
  const std::int64_t batch = in.config.trainer.global_batch;
  Require(options.nodes >= 1 && options.ranks_per_node >= 1 && ranks <= 65536, ExitCode::kConfig,
          "--nodes and --ranks-per-node want numbers >= 1, together at most 65536 ranks");
  Require(batch >= ranks, ExitCode::kConfig, "trainer.global_batch = ", batch, " is less than the ",
          ranks, " ranks");
  const std::int64_t images = (batch + ranks - 1) / ranks;

  const ScratchFolder scratch;
  std::string folder = options.data;
  if (folder.empty()) {
    folder = scratch.path() + "/phantom";
    data::WritePhantom({folder, kPhantomStudies, 7, in.config.model.vision.image_size, {}});
  }
  in.dataset = OpenTraining(folder, in.config.data.vocab);
  in.vocabulary = VocabularyOf(in.dataset->vocabulary(), in.dataset->vocabulary().wordpieces);

  SetUpThreads(in.config.trainer.threads, options.ranks_per_node);
  const bool slices = std::exchange(in.config.trainer.slices, 0) > 0;
  std::int64_t rehearsed = 0;
  const Rehearsed found = RehearseOrExtrapolate(in, options, images, &rehearsed);
  Json plan = {{"ranks", ranks},
               {"parameters", std::llround(found.parameters)},
               {"vocabulary", in.vocabulary.wordpieces.size()},
               {"images_per_rank", images},
               {"rehearsed_images", rehearsed},
               {"memory", MemoryOf(found)}};
  AddCommunication(found, options, static_cast<double>(batch), &plan);
  plan["left_out"] = Json::array();
  if (slices) plan["left_out"].push_back("fixed slices");
  if (in.config.model.text.table) plan["left_out"].push_back("sentence table");
  if (in.config.model.knowledge.enabled) plan["left_out"].push_back("knowledge rows");
  return plan;
}

}  // namespace vesalius::trainer
