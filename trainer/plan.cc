#include "trainer/plan.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "data/phantom.h"
#include "data/pipeline.h"
#include "data/tokenizer.h"
#include "dist/rehearsal.h"
#include "model/flops.h"
#include "ops/cpu_memory.h"
#include "trainer/train_step.h"
#include "trainer/wordpieces.h"

namespace vesalius::trainer {
namespace {

constexpr double kFlopBudget = 4e12;  // of one rehearsed step
constexpr std::int64_t kPhantomStudies = 400;
constexpr int kStage = 3;  // the dearest

// A drawn phantom set, removed again.
class Scratch {
 public:
  Scratch() {
    Require(::mkdtemp(path_.data()) != nullptr, ExitCode::kCannotCreate,
            "no temporary folder under /tmp");
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/vesalius-plan-XXXXXX";
};

// What one rehearsed step of `images` images needs.
struct Rehearsed {
  double parameters = 0, gradients = 0, optimiser = 0, step = 0;  // bytes
  double numel = 0;
  double forward_backward = 0, rest = 0;  // seconds
  std::vector<dist::RehearsedCalls> calls;
};

Rehearsed Rehearse(const Config& config, const std::shared_ptr<const data::Dataset>& dataset,
                   const ModelVocabulary& vocabulary, const PlanOptions& options,
                   std::int64_t images) {
  dist::Rehearsal group(options.nodes, options.ranks_per_node);
  const ops::CpuMemoryMeter meter;
  TrainStep step(config, vocabulary, at::kCPU, group.comm());
  step.model().SetStage(kStage);
  Rehearsed out;
  for (const model::ParameterInfo& parameter : step.parameters()) {
    out.numel += static_cast<double>(parameter.tensor.numel());
    out.parameters += static_cast<double>(parameter.tensor.nbytes());
  }

  data::PipelineOptions loader = LoaderOptionsOf(config);
  loader.global_batch = images;
  loader.workers = 0;
  loader.report_length = step.model().NeedsReports() ? config.data.report_length : 0;
  loader.region_texts = step.model().NeedsRegionTexts(kStage);
  data::Pipeline pipeline({dataset}, loader, {});
  const data::Batch batch = pipeline.Next();
  const model::BatchTensors tensors = ToTensors(
      batch, dataset->vocabulary().findings.size(), dataset->vocabulary().image_labels.size(),
      config.trainer.float64 ? at::kDouble : at::kFloat, at::kCPU);

  const double flags[] = {0, 0};
  for (int s = 0; s < 3; ++s) {  // the first ones lay out and warm up
    group.Reset();
    const std::int64_t held = meter.live();
    const ops::CpuMemoryMeter of_step;
    PhaseClock clock;
    step.Run(s, tensors, 1e-6, flags, clock);
    step.model();  // waits for what the step published
    out.step = static_cast<double>(of_step.peak());
    out.optimiser = static_cast<double>(held) - out.parameters;
    out.forward_backward = 0;
    for (const auto& [phase, seconds] : clock.seconds()) {
      if (phase == "optimiser" || phase == "exchange") continue;
      out.forward_backward += seconds;
    }
    out.rest = clock.total() - out.forward_backward;
  }
  out.gradients = static_cast<double>(group.allocated_bytes());
  out.calls = group.calls();
  return out;
}

// The line through what `few` and `many` images need, at `images`.
Rehearsed Extrapolate(const Rehearsed& a, const Rehearsed& b, double few, double many,
                      double images) {
  const auto at = [&](double x, double y) { return x + (y - x) * (images - few) / (many - few); };
  Rehearsed out = b;
  out.step = at(a.step, b.step);
  out.forward_backward = at(a.forward_backward, b.forward_backward);
  for (std::size_t i = 0; i < out.calls.size() && i < a.calls.size(); ++i) {
    const auto from = static_cast<double>(a.calls[i].bytes_sent);
    out.calls[i].bytes_sent = std::llround(at(from, static_cast<double>(b.calls[i].bytes_sent)));
  }
  return out;
}

double StepFlops(const Config& config, double images) {
  const double texts = config.data.rows;  // at most, an image
  return 3 * images *
         (model::VisionFlops(config.model.vision) +
          texts * model::TextFlops(config.model.text, config.data.text_length / 4) +
          (config.model.loss.pair > 0
               ? model::TextFlops(config.model.text, config.data.report_length)
               : 0));
}

}  // namespace

nlohmann::ordered_json MakePlan(const PlanOptions& options) {
  Config config = LoadConfig(options.preset, options.config_file, options.set);
  const std::int64_t ranks = std::int64_t{options.nodes} * options.ranks_per_node;
  Require(options.nodes >= 1 && options.ranks_per_node >= 1 && ranks <= 65536, ExitCode::kConfig,
          "--nodes and --ranks-per-node want numbers >= 1, together at most 65536 ranks");
  Require(config.trainer.global_batch >= ranks, ExitCode::kConfig,
          "trainer.global_batch = ", config.trainer.global_batch, " is less than the ", ranks,
          " ranks");
  const std::int64_t images = (config.trainer.global_batch + ranks - 1) / ranks;

  std::unique_ptr<Scratch> scratch;
  std::string folder = options.data;
  if (folder.empty()) {
    scratch = std::make_unique<Scratch>();
    folder = scratch->path() + "/phantom";
    data::WritePhantom({folder, kPhantomStudies, 7, config.model.vision.image_size, {}});
  }
  std::shared_ptr<const data::Dataset> dataset = data::OpenDataset(folder, data::Split::kTrain);
  if (!config.data.vocab.empty())
    dataset = WithWordpieces(dataset, data::Tokenizer::FromFile(config.data.vocab).pieces());
  const ModelVocabulary vocabulary =
      VocabularyOf(dataset->vocabulary(), dataset->vocabulary().wordpieces);

  if (config.trainer.threads > 0) at::set_num_threads(config.trainer.threads);
  const auto limit = static_cast<std::int64_t>(kFlopBudget / StepFlops(config, 1));
  const std::int64_t many = std::min({images, std::max<std::int64_t>(limit, 2), dataset->size()});
  Rehearsed found = Rehearse(config, dataset, vocabulary, options, many);
  if (many < images) {
    const std::int64_t few = std::max<std::int64_t>(1, many / 2);
    found = Extrapolate(Rehearse(config, dataset, vocabulary, options, few), found,
                        static_cast<double>(few), static_cast<double>(many),
                        static_cast<double>(images));
  }

  nlohmann::ordered_json plan;
  plan["ranks"] = ranks;
  plan["parameters"] = std::llround(found.numel);
  plan["vocabulary"] = vocabulary.wordpieces.size();
  plan["images_per_rank"] = images;
  plan["rehearsed_images"] = many;
  plan["memory"] = {
      {"parameters", std::llround(found.parameters)},
      {"gradients", std::llround(found.gradients)},
      {"optimiser", std::llround(found.optimiser)},
      {"step", std::llround(found.step)},
      {"total", std::llround(found.parameters + found.gradients + found.optimiser + found.step)}};
  // Gradients leave while backward, two thirds of the work, still runs; the rest is waited for.
  double sent = 0, hideable = 0, exposed = 0;
  plan["collectives"] = nlohmann::ordered_json::array();
  for (const dist::RehearsedCalls& calls : found.calls) {
    const bool within = calls.ranks <= options.ranks_per_node;
    const int group = static_cast<int>(calls.ranks);
    const auto bytes = static_cast<double>(calls.bytes_sent);
    const int nodes = within ? 1 : std::max(1, group / options.ranks_per_node);
    const double each = bytes / static_cast<double>(calls.calls);
    const double across = nodes > 1 ? each / options.ranks_per_node : 0;
    const double seconds = static_cast<double>(calls.calls) *
                           dist::Seconds(options.links, calls.kind, nodes,
                                         within ? group : options.ranks_per_node, each, across);
    plan["collectives"].push_back({{"name", calls.name},
                                   {"kind", dist::Name(calls.kind)},
                                   {"ranks", calls.ranks},
                                   {"calls", calls.calls},
                                   {"bytes_sent", calls.bytes_sent},
                                   {"seconds", seconds}});
    sent += bytes;
    (calls.name.rfind("gradient", 0) == 0 ? hideable : exposed) += seconds;
  }
  double compute = found.forward_backward + found.rest;
  if (options.tflops > 0)
    compute = StepFlops(config, static_cast<double>(images)) / (options.tflops * 1e12);
  const double total_exposed = exposed + std::max(0.0, hideable - compute * 2 / 3);
  plan["bytes_sent"] = std::llround(sent);
  plan["seconds"] = {{"compute", compute},
                     {"communication", hideable + exposed},
                     {"exposed", total_exposed},
                     {"step", compute + total_exposed}};
  plan["samples_per_s"] =
      static_cast<double>(config.trainer.global_batch) / (compute + total_exposed);
  return plan;
}

}  // namespace vesalius::trainer
