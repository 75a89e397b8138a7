#include "trainer/batch_source.h"

#include "base/log.h"
#include "data/loader/token_store.h"
#include "dist/slice_sum.h"
#include "trainer/pinned_memory.h"

namespace vesalius::trainer {

BatchSource::BatchSource(const TrainContext& context, const model::Recipe& recipe)
    : context_(context), recipe_(recipe), pixel_memory_(PinnedMemory(context.device)) {}

void BatchSource::Open(const data::LoaderState& position, int stage) {
  const int rank = context_.comm.rank(), ranks = context_.comm.size();
  const auto slices = static_cast<int>(context_.config.trainer.slices);
  const dist::SliceRange mine =
      slices > 0 ? dist::SlicesOf(rank, ranks, slices) : dist::SliceRange{rank, rank + 1};
  data::PipelineOptions options = Options(stage);
  options.ranks = slices > 0 ? slices : ranks;
  loaders_.clear();
  for (options.rank = mine.begin; options.rank < mine.end; ++options.rank)
    loaders_.push_back(
        std::make_unique<data::Pipeline>(context_.sources.datasets, options, position));
}

void BatchSource::SetStage(int stage) {
  for (const auto& loader : loaders_) loader->SetRegionTexts(recipe_.NeedsRegionTexts(stage));
}

StepInput BatchSource::Next() {
  const data::Vocabulary& words = context_.train->vocabulary();
  const at::ScalarType type = context_.config.trainer.float64 ? at::kDouble : at::kFloat;
  StepInput input;
  input.batches.reserve(loaders_.size());
  for (const auto& loader : loaders_) {
    const data::Batch& batch = input.batches.emplace_back(loader->Next());
    input.tensors.push_back(
        ToTensors(batch, words.findings.size(), words.image_labels.size(), type, context_.device));
    input.unreadable += batch.unreadable;
  }
  const auto total = [&](double data::Batch::*seconds) {
    double sum = 0;
    for (const data::Batch& batch : input.batches) sum += batch.*seconds;
    return sum;
  };
  input.seconds = {{"loader.wait", total(&data::Batch::wait_s)},
                   {"loader.read", total(&data::Batch::read_s)},
                   {"loader.decode", total(&data::Batch::decode_s)},
                   {"loader.augment", total(&data::Batch::augment_s)}};
  return input;
}

data::PipelineOptions BatchSource::Options(int stage) const {
  const DataConfig& config = context_.config.data;
  data::PipelineOptions out = LoaderOptionsOf(context_.config);
  out.report_length = recipe_.NeedsReports() ? config.report_length : 0;
  out.region_texts = recipe_.NeedsRegionTexts(stage);
  out.weights = context_.sources.weights;
  out.pixel_memory = pixel_memory_.get();
  if (out.report_length > 0 && config.token_cache) out.tokens = OpenTokens();
  return out;
}

// Collective. The lead makes the file when it is missing; the others find it, or, on a file system
// of their own, make theirs.
std::shared_ptr<const data::TokenStore> BatchSource::OpenTokens() const {
  const bool lead = context_.lead();
  const auto open = [&] {
    const std::vector<std::string> folders = {context_.sources.datasets[0]->path(),
                                              context_.run_folder + "/tokens"};
    return data::OpenTokenStore(*context_.train, folders,
                                [&](std::int64_t done, std::int64_t total) {
                                  if (lead && done == 1)
                                    log::Info("tokenising ", total, " reports, once");
                                });
  };
  std::shared_ptr<const data::TokenStore> tokens;
  if (lead) tokens = open();
  dist::AllGatherBytes(context_.comm, "token file", "");
  return lead ? tokens : open();
}

}  // namespace vesalius::trainer
