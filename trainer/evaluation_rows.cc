// CollectRows: encode a slice on each rank and gather the rows in data set order.
#include <array>

#include "base/error.h"
#include "base/log.h"
#include "data/loader/augment.h"
#include "dist/gather.h"
#include "dist/tensor.h"
#include "trainer/evaluation.h"
#include "trainer/model_setup.h"

namespace vesalius::trainer {
namespace {

constexpr std::int64_t kRegions = data::kRegions;
constexpr std::int64_t kBatch = 64;

// Facts of the records of one slice, appended record by record.
struct Facts {
  std::vector<float> boxes;
  std::vector<std::uint8_t> valid;
  std::vector<std::int8_t> labels, abnormal, image_labels;
  std::vector<std::int64_t> report_hash;
  nlohmann::json sentences = nlohmann::json::array();

  void Add(const data::Record& record) {
    for (int r = 0; r < kRegions; ++r) {
      const data::Box& box = record.boxes[r];
      boxes.insert(boxes.end(), {box.cx, box.cy, box.w, box.h});
      nlohmann::json of_region = nlohmann::json::array();
      for (const data::Sentence& sentence : record.sentences[r])
        of_region.push_back({sentence.text, sentence.finding, sentence.polarity});
      sentences.push_back(std::move(of_region));
    }
    valid.insert(valid.end(), record.box_valid.begin(), record.box_valid.end());
    labels.insert(labels.end(), record.region_labels.begin(), record.region_labels.end());
    abnormal.insert(abnormal.end(), record.region_abnormal.begin(), record.region_abnormal.end());
    image_labels.insert(image_labels.end(), record.image_labels.begin(), record.image_labels.end());
    report_hash.push_back(record.report.empty() ? 0
                                                : static_cast<std::int64_t>(record.report_hash));
  }
};

template <typename T>
at::Tensor Copy(const std::vector<T>& values, at::IntArrayRef shape, at::ScalarType type) {
  return at::from_blob(const_cast<T*>(values.data()), shape, at::TensorOptions().dtype(type))
      .clone();
}

struct Outputs {
  std::vector<at::Tensor> boxes, presence, regions, global, reports;
};

void EncodeBatch(model::AnatomyVlm& model, const std::vector<float>& pixels,
                 const std::vector<std::vector<std::int64_t>>& reports,
                 const data::PipelineOptions& options, Outputs* out) {
  const auto rows = static_cast<std::int64_t>(reports.size());
  const at::Tensor like = model.parameters()[0].tensor;
  const at::Tensor image =
      Copy(pixels, {rows, options.channels, options.image_size, options.image_size}, at::kFloat)
          .to(like.options());
  const auto encoded = model.EncodeImages(image);
  const auto keep = [](std::vector<at::Tensor>& list, const at::Tensor& rows_of) {
    list.push_back(rows_of.to(at::kCPU, at::kFloat));
  };
  keep(out->boxes, encoded.boxes);
  keep(out->presence, encoded.presence);
  keep(out->regions, encoded.regions);
  keep(out->global, encoded.global);
  keep(out->reports, model.EncodeTexts(PadIds(reports).to(like.device())));
}

at::Tensor Joined(const std::vector<at::Tensor>& parts, at::IntArrayRef empty_shape) {
  return parts.empty() ? at::zeros(empty_shape) : at::cat(parts);
}

}  // namespace

EvaluationRows CollectRows(model::AnatomyVlm& model, const Config& config,
                           const data::Tokenizer& tokenizer, const data::Dataset& dataset,
                           dist::Communicator& comm) {
  const at::NoGradGuard no_grad;
  const data::PipelineOptions options = PixelOptions(config);
  const int report_length =
      config.data.report_length > 0 ? config.data.report_length : config.model.text.positions;

  Facts facts;
  Outputs outputs;
  std::vector<float> pixels;
  std::vector<std::vector<std::int64_t>> reports;
  std::int64_t unreadable = 0;
  // Whole batches are dealt out, so that a batch, and with it every last bit, is the same for any
  // number of ranks.
  const std::int64_t batches = (dataset.size() + kBatch - 1) / kBatch;
  const std::int64_t begin = comm.rank() * batches / comm.size() * kBatch;
  const std::int64_t end =
      std::min(dataset.size(), (comm.rank() + 1) * batches / comm.size() * kBatch);
  const auto flush = [&] {
    if (!reports.empty()) EncodeBatch(model, pixels, reports, options, &outputs);
    pixels.clear();
    reports.clear();
  };
  for (std::int64_t i = begin; i < end; ++i) {
    try {
      const data::Record record = dataset.Get(i);
      const std::vector<float> image = data::Prepare(record, options);
      facts.Add(record);
      pixels.insert(pixels.end(), image.begin(), image.end());
      reports.push_back(tokenizer.EncodeWithSpecials(record.report, report_length));
    } catch (const Error& error) {
      if (error.code() != ExitCode::kInvalidData) throw;
      log::Warning("left out of the evaluation: ", error.what());
      ++unreadable;
    }
    if ((i + 1) % kBatch == 0) flush();
  }
  flush();

  const auto n = static_cast<std::int64_t>(facts.report_hash.size());
  const auto f = static_cast<std::int64_t>(dataset.vocabulary().findings.size());
  const auto k = static_cast<std::int64_t>(dataset.vocabulary().image_labels.size());
  const std::int64_t d = config.model.embed_dim;
  const std::vector<std::int64_t> counts = dist::GatherCounts(comm, "evaluation.counts", n);
  const auto gather = [&](const char* name, const at::Tensor& rows) {
    const at::Tensor mine = rows.contiguous().to(dist::DeviceOf(comm));
    return dist::GatherRowsDetached(comm, name, mine, counts).cpu();
  };
  EvaluationRows all;
  all.boxes = gather("evaluation.boxes", Joined(outputs.boxes, {0, kRegions, 4}));
  all.presence = gather("evaluation.presence", Joined(outputs.presence, {0, kRegions}));
  all.regions = gather("evaluation.regions", Joined(outputs.regions, {0, kRegions, d}));
  all.global = gather("evaluation.global", Joined(outputs.global, {0, d}));
  all.reports = gather("evaluation.reports", Joined(outputs.reports, {0, d}));
  all.true_boxes = gather("evaluation.truth", Copy(facts.boxes, {n, kRegions, 4}, at::kFloat));
  all.valid = gather("evaluation.valid", Copy(facts.valid, {n, kRegions}, at::kByte));
  // int8 facts travel as int32, which every backend carries.
  const auto small = [&](const char* name, const std::vector<std::int8_t>& values,
                         at::IntArrayRef shape) {
    return gather(name, Copy(values, shape, at::kChar).to(at::kInt)).to(at::kChar);
  };
  all.labels = small("evaluation.labels", facts.labels, {n, kRegions, f});
  all.abnormal = small("evaluation.abnormal", facts.abnormal, {n, kRegions});
  all.image_labels = small("evaluation.image_labels", facts.image_labels, {n, k});
  all.report_hash = gather("evaluation.hashes", Copy(facts.report_hash, {n}, at::kLong));
  for (const std::string& part :
       dist::AllGatherBytes(comm, "evaluation.sentences", facts.sentences.dump()))
    for (const auto& of_region : nlohmann::json::parse(part)) {
      auto& list = all.sentences.emplace_back();
      for (const auto& item : of_region) list.push_back({item[0], item[1], item[2]});
    }
  std::int64_t missing[] = {unreadable};
  dist::AllReduceNow(comm, "evaluation.unreadable", std::span<std::int64_t>(missing));
  all.unreadable = missing[0];
  return all;
}

}  // namespace vesalius::trainer
