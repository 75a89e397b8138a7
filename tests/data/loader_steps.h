// What the loader delivers, taken apart by sample, so that tests can compare it whatever ranks and
// threads made it.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "data/loader/pipeline.h"
#include "data/shards/writer.h"
#include "tests/data/memory_dataset.h"

namespace vesalius::data {

using Data = std::shared_ptr<const Dataset>;

inline PipelineOptions Augmented(std::int64_t batch = 10) {
  PipelineOptions options;
  options.seed = 5;
  options.global_batch = batch;
  options.image_size = MemoryDataset::kSize;
  options.rows_per_image = 14;
  options.augment = true;
  options.min_crop = 0.7;
  options.max_shift = 0.1;
  options.max_rotate = 10;
  options.brightness = options.contrast = 0.2;
  return options;
}

inline std::shared_ptr<MemoryDataset> Memory(std::int64_t size) {
  return std::make_shared<MemoryDataset>(size);
}

inline std::vector<std::int64_t> TextRow(const TokenRows& rows, std::int64_t row) {
  std::vector<std::int64_t> ids(rows.ids.begin() + row * rows.length,
                                rows.ids.begin() + (row + 1) * rows.length);
  while (!ids.empty() && ids.back() == 0) ids.pop_back();
  return ids;
}

// Everything that a batch says of one sample, free of the place it stands at. Floats by their bits.
struct Sample {
  std::string floats;
  std::vector<int> flags;  // valid boxes, labels, truth
  std::vector<std::vector<std::int64_t>> texts;
  bool operator==(const Sample&) const = default;
};

template <typename Values>
auto Part(const Values& values, std::int64_t rows, std::int64_t row) {
  const auto width = static_cast<std::int64_t>(values.size()) / rows;
  return std::vector<typename Values::value_type>{values.begin() + row * width,
                                                  values.begin() + (row + 1) * width};
}

inline Sample SampleOf(const Batch& batch, std::int64_t row) {
  Sample out;
  for (const std::vector<float>& part :
       {Part(batch.images, batch.rows, row), Part(batch.boxes, batch.rows, row)}) {
    out.floats.append(reinterpret_cast<const char*>(part.data()), part.size() * sizeof(float));
  }
  const auto flags = [&](const auto& values) {
    for (const int value : Part(values, batch.rows, row)) out.flags.push_back(value);
  };
  flags(batch.box_valid);
  flags(batch.region_labels);
  flags(batch.region_abnormal);
  flags(batch.image_labels);
  flags(batch.region_truth);
  for (const std::int32_t text : Part(batch.region_text, batch.rows, row)) {
    out.texts.emplace_back();
    if (text < 0) continue;
    out.texts.back() = TextRow(batch.texts, text);
    out.texts.back().push_back(batch.signatures.at(text).hash);
  }
  out.texts.push_back(TextRow(batch.reports, row));
  out.texts.push_back({batch.report_hash[row]});
  return out;
}

using Step = std::map<std::int64_t, Sample>;  // by sample id

// `repeats`: a sample may come twice, at the end of its set's epoch and in the next one.
inline void AddTo(Step& step, const Batch& batch, bool repeats = false) {
  for (std::int64_t row = 0; row < batch.rows - batch.padding; ++row) {
    std::int64_t key = batch.sample_ids[row];
    while (repeats && step.contains(key)) key += 1'000'000;
    EXPECT_TRUE(step.emplace(key, SampleOf(batch, row)).second)
        << "sample " << key << " twice in a step";
  }
}

// `steps` global batches as `ranks` pipelines deliver them together.
inline std::vector<Step> Collect(const std::vector<Data>& data, PipelineOptions options, int ranks,
                                 int steps, const LoaderState& start = {},
                                 LoaderState* end = nullptr) {
  std::vector<Step> out(steps);
  std::vector<std::string> states(steps);
  for (int rank = 0; rank < ranks; ++rank) {
    options.rank = rank;
    options.ranks = ranks;
    Pipeline pipeline(data, options, start);
    for (int step = 0; step < steps; ++step) {
      const Batch batch = pipeline.Next();
      AddTo(out[step], batch, data.size() > 1);
      const std::string state = SerializeLoaderState(batch.state);
      if (rank == 0) states[step] = state;
      EXPECT_EQ(state, states[step]) << "the state depends on the rank";
      if (end != nullptr) *end = batch.state;
    }
  }
  return out;
}

inline std::vector<Step> Collect(const Data& data, const PipelineOptions& options, int ranks,
                                 int steps, const LoaderState& start = {},
                                 LoaderState* end = nullptr) {
  return Collect(std::vector<Data>{data}, options, ranks, steps, start, end);
}

// Writes what `data` holds into a data set folder and opens it.
inline Data Stored(const Dataset& data, const std::string& folder, int records_per_shard = 13) {
  WriterOptions writing;
  writing.folder = folder;
  writing.source = "test";
  writing.stored_size = data.stored_size();
  writing.records_per_shard = records_per_shard;
  DatasetWriter writer(writing);
  for (std::int64_t i = 0; i < data.size(); ++i) writer.Add(data.Get(i));
  writer.Finish(data.vocabulary());
  return OpenDataset(folder, Split::kTrain);
}

inline ExitCode CodeOf(const std::function<void()>& body, std::string* message = nullptr) {
  try {
    body();
  } catch (const Error& error) {
    if (message != nullptr) *message = error.what();
    return error.code();
  }
  return ExitCode::kFinished;
}

}  // namespace vesalius::data
