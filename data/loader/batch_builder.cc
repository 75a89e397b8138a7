#include "data/loader/batch_builder.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/lap.h"
#include "base/log.h"
#include "base/random.h"
#include "data/loader/region_text.h"
#include "data/loader/token_store.h"

namespace vesalius::data {
namespace {

constexpr std::size_t kCachedTexts = 1 << 16;  // then the token cache starts afresh

// Streams of a sample's text choices: one per region and one for which regions take part.
Random TextRandom(std::uint64_t seed, std::int64_t epoch, std::int64_t sample, int region) {
  return Random(seed, Purpose::kRegionText, static_cast<std::uint64_t>(epoch),
                static_cast<std::uint64_t>(sample) * (kRegions + 1) + region);
}
constexpr int kWhichRegions = kRegions;

// All regions; those with sentences first, each group in random order, when not all take part.
std::vector<int> RegionOrder(const Record& record, const PipelineOptions& options,
                             std::int64_t epoch, std::int64_t sample) {
  std::vector<int> order(kRegions);
  std::iota(order.begin(), order.end(), 0);
  if (options.rows_per_image < kRegions) {
    TextRandom(options.seed, epoch, sample, kWhichRegions).Shuffle(order);
    std::stable_partition(order.begin(), order.end(),
                          [&](int r) { return !record.sentences[r].empty(); });
  }
  return order;
}

// Rows of ids, padded to the longest.
TokenRows Pad(const std::vector<std::vector<std::int64_t>>& rows, std::int64_t pad) {
  TokenRows out;
  out.rows = static_cast<std::int64_t>(rows.size());
  for (const auto& row : rows) {
    out.length = std::max(out.length, static_cast<std::int64_t>(row.size()));
  }
  out.ids.assign(static_cast<std::size_t>(out.rows * out.length), pad);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy(rows[i].begin(), rows[i].end(), out.ids.begin() + i * out.length);
  }
  return out;
}

}  // namespace

BatchBuilder::BatchBuilder(std::shared_ptr<const Dataset> dataset, const PipelineOptions& options)
    : dataset_(std::move(dataset)),
      options_(options),
      tokenizer_(dataset_->vocabulary().wordpieces),
      findings_(dataset_->vocabulary().findings.size()),
      image_labels_(dataset_->vocabulary().image_labels.size()),
      pixels_(PixelCount(options)) {}

std::unique_ptr<Draft> BatchBuilder::Start(const std::vector<Planned>& samples,
                                           bool region_texts) const {
  auto draft = std::make_unique<Draft>(
      options_.pixel_memory != nullptr ? options_.pixel_memory : std::pmr::get_default_resource());
  draft->region_texts = region_texts;
  Batch& batch = draft->batch;
  for (const Planned& planned : samples) {
    if (planned.sample == Planned::kEmpty) {
      ++draft->padding;
      continue;
    }
    batch.sample_ids.push_back(planned.sample);
    draft->rows.emplace_back().epoch = planned.epoch;
  }
  batch.rows = std::ssize(draft->rows);
  batch.channels = options_.channels;
  batch.size = options_.image_size;
  return draft;
}

void BatchBuilder::Fetch(Draft& draft) const {
  Lap lap;
  std::vector<SampleRequest> requests;
  for (std::size_t i = 0; i < draft.rows.size(); ++i) {
    Draft::Row& row = draft.rows[i];
    const std::int64_t sample = draft.batch.sample_ids[i];
    const SampleLook seen = LookOf(options_, dataset_->stored_size(), row.epoch, sample);
    row.look = seen.look;
    row.window = seen.window;
    requests.push_back({sample, row.window});
  }
  draft.fetched = dataset_->Fetch(requests);
  const std::size_t rows = draft.rows.size();
  VisitRowFields(draft.batch, [&](auto& values, std::size_t width) {
    values.reserve((rows + static_cast<std::size_t>(draft.padding)) * width);
    values.resize(rows * width);
  });
  std::fill(draft.batch.region_text.begin(), draft.batch.region_text.end(), -1);
  draft.fetch_s = lap();
}

template <typename Visit>
void BatchBuilder::VisitRowFields(Batch& batch, Visit visit) const {
  visit(batch.sample_ids, std::size_t{1});
  visit(batch.images, pixels_);
  visit(batch.boxes, std::size_t{kRegions * 4});
  visit(batch.box_valid, std::size_t{kRegions});
  visit(batch.region_labels, kRegions * findings_);
  visit(batch.region_abnormal, std::size_t{kRegions});
  visit(batch.image_labels, image_labels_);
  visit(batch.region_text, std::size_t{kRegions});
  visit(batch.region_truth, std::size_t{kRegions});
  visit(batch.report_hash, std::size_t{1});
}

void BatchBuilder::RemoveUnreadable(Draft& draft) const {
  std::size_t kept = 0;
  for (std::size_t row = 0; row < draft.rows.size(); ++row) {
    if (!draft.rows[row].readable) continue;
    if (row != kept) {
      VisitRowFields(draft.batch, [&](auto& values, std::size_t width) {
        std::copy_n(values.begin() + row * width, width, values.begin() + kept * width);
      });
      draft.rows[kept] = std::move(draft.rows[row]);
    }
    ++kept;
  }
  draft.batch.unreadable = static_cast<std::int64_t>(draft.rows.size() - kept);
  draft.batch.rows = static_cast<std::int64_t>(kept);
  draft.rows.resize(kept);
  VisitRowFields(draft.batch,
                 [&](auto& values, std::size_t width) { values.resize(kept * width); });
}

// Rows that say nothing: no boxes, nothing mentioned, no text but an empty report.
void BatchBuilder::AddPadding(Draft& draft) const {
  Batch& batch = draft.batch;
  const auto from = static_cast<std::size_t>(batch.rows);
  batch.padding = draft.padding;
  batch.rows += draft.padding;
  const auto rows = static_cast<std::size_t>(batch.rows);
  VisitRowFields(batch, [&](auto& values, std::size_t width) { values.resize(rows * width); });
  const auto fill = [&](auto& values, std::size_t width, auto value) {
    std::fill(values.begin() + static_cast<std::ptrdiff_t>(from * width), values.end(), value);
  };
  fill(batch.sample_ids, 1, Planned::kEmpty);
  fill(batch.region_labels, kRegions * findings_, std::int8_t{-1});
  fill(batch.region_abnormal, kRegions, std::int8_t{-1});
  fill(batch.image_labels, image_labels_, std::int8_t{-1});
  fill(batch.region_text, kRegions, -1);
}

Record BatchBuilder::ReadChecked(const Draft& draft, std::size_t row) const {
  Record record = draft.fetched->Decode(row);
  const Image& image = record.image;
  const Window& window = draft.rows[row].window;
  const int width = window.width > 0 ? window.width : dataset_->stored_size();
  const int height = window.width > 0 ? window.height : dataset_->stored_size();
  const std::size_t values = static_cast<std::size_t>(width) * height * image.channels;
  Require(image.width == width && image.height == height &&
              (image.channels == 1 || image.channels == 3) &&
              (image.deep() ? image.u16.size() : image.u8.size()) == values &&
              record.region_labels.size() == kRegions * findings_ &&
              record.image_labels.size() == image_labels_,
          ExitCode::kInvalidData, "image or labels have another shape than the manifest says");
  return record;
}

void BatchBuilder::LogUnreadable(std::int64_t sample, const char* reason) {
  {
    const std::lock_guard lock(mutex_);
    if (!logged_.insert(sample).second) return;
  }
  log::Warning("data: record ", sample, " of ", dataset_->path(),
               " cannot be read and is left out of its batches: ", reason,
               "; `vesalius inspect` verifies the whole data set");
}

void BatchBuilder::CopyLabels(const Record& record, std::size_t row, Batch& batch) const {
  std::copy(record.region_labels.begin(), record.region_labels.end(),
            batch.region_labels.begin() + row * kRegions * findings_);
  std::copy(record.region_abnormal.begin(), record.region_abnormal.end(),
            batch.region_abnormal.begin() + row * kRegions);
  std::copy(record.image_labels.begin(), record.image_labels.end(),
            batch.image_labels.begin() + row * image_labels_);
  batch.report_hash[row] = static_cast<std::int64_t>(record.report_hash);
}

void BatchBuilder::ChooseTexts(const Record& record, const RegionBoxes& boxes, std::int64_t epoch,
                               std::int64_t sample, std::vector<Draft::Text>& out) const {
  for (const int region : RegionOrder(record, options_, epoch, sample)) {
    if (out.size() == static_cast<std::size_t>(options_.rows_per_image)) break;
    if (record.box_valid[region] && !boxes.valid[region]) continue;  // cropped away
    Random random = TextRandom(options_.seed, epoch, sample, region);
    auto chosen =
        ChooseRegionText(record, region, dataset_->vocabulary(), options_.perturb, random);
    if (!chosen) continue;
    Draft::Text& text = out.emplace_back();
    text.region = region;
    text.truth = chosen->truth;
    text.text = NormalisedText(chosen->text);
    text.signature = {static_cast<std::int64_t>(Hash64(text.text)), region, chosen->finding,
                      chosen->polarity};
  }
  std::sort(out.begin(), out.end(),
            [](const Draft::Text& a, const Draft::Text& b) { return a.region < b.region; });
}

void BatchBuilder::CopyBoxes(const RegionBoxes& boxes, std::size_t row, Batch& batch) const {
  for (int r = 0; r < kRegions; ++r) {
    if (!boxes.valid[r]) continue;
    const Box& box = boxes.box[r];
    const float values[4] = {box.cx, box.cy, box.w, box.h};
    std::copy_n(values, 4, batch.boxes.begin() + (row * kRegions + r) * 4);
    batch.box_valid[row * kRegions + r] = 1;
  }
}

std::vector<std::int64_t> BatchBuilder::ReportTokens(const Record& record,
                                                     std::int64_t sample) const {
  if (options_.tokens != nullptr)
    if (auto ids = options_.tokens->Read(sample))
      return tokenizer_.WithSpecials(*std::move(ids), options_.report_length);
  return tokenizer_.EncodeWithSpecials(record.report, options_.report_length);
}

void BatchBuilder::MakeRow(Draft& draft, std::size_t row) {
  Draft::Row& out = draft.rows[row];
  Batch& batch = draft.batch;
  const std::int64_t sample = batch.sample_ids[row];
  Lap lap;
  Record record;
  try {
    record = ReadChecked(draft, row);
  } catch (const Error& error) {
    if (error.code() != ExitCode::kInvalidData) throw;
    LogUnreadable(sample, error.what());
    return;
  }
  out.decode_s = lap();

  const RegionBoxes boxes = MapBoxes({record.boxes, record.box_valid}, out.look);
  CopyBoxes(boxes, row, batch);
  Render(record.image, out.window, dataset_->stored_size(), out.look, options_,
         {batch.images.data() + row * pixels_, pixels_});
  out.augment_s = lap();

  CopyLabels(record, row, batch);
  if (draft.region_texts) ChooseTexts(record, boxes, out.epoch, sample, out.texts);
  if (options_.report_length > 0) out.report = ReportTokens(record, sample);
  out.readable = true;
  out.decode_s += lap();
}

std::vector<std::int64_t> BatchBuilder::TextTokens(const Draft::Text& text) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = tokens_.find(text.signature.hash);
    if (found != tokens_.end()) return found->second;
  }
  auto ids = tokenizer_.EncodeWithSpecials(text.text, options_.text_length);
  const std::lock_guard lock(mutex_);
  if (tokens_.size() >= kCachedTexts) tokens_.clear();
  tokens_.emplace(text.signature.hash, ids);
  return ids;
}

Batch BatchBuilder::Finish(Draft& draft) {
  Lap lap;
  Batch& batch = draft.batch;
  batch.read_s = draft.fetch_s;
  draft.fetched.reset();
  for (const Draft::Row& row : draft.rows) {
    batch.decode_s += row.decode_s;
    batch.augment_s += row.augment_s;
  }
  RemoveUnreadable(draft);
  std::vector<std::vector<std::int64_t>> texts, reports;
  std::unordered_map<std::int64_t, std::int32_t> index;  // text hash -> row of `texts`
  for (std::size_t row = 0; row < draft.rows.size(); ++row) {
    for (const Draft::Text& text : draft.rows[row].texts) {
      const auto next = static_cast<std::int32_t>(texts.size());
      const auto [found, added] = index.emplace(text.signature.hash, next);
      if (added) {  // the first to say it gives the signature
        texts.push_back(TextTokens(text));
        batch.signatures.push_back(text.signature);
      }
      batch.region_text[row * kRegions + text.region] = found->second;
      batch.region_truth[row * kRegions + text.region] = text.truth ? 1 : 0;
    }
    reports.push_back(std::move(draft.rows[row].report));
  }
  AddPadding(draft);
  for (std::int64_t i = 0; i < batch.padding; ++i)
    reports.push_back(options_.report_length > 0 ? tokenizer_.EncodeWithSpecials("", 2)
                                                 : std::vector<std::int64_t>());
  batch.texts = Pad(texts, tokenizer_.pad());
  batch.reports = Pad(reports, tokenizer_.pad());
  batch.decode_s += lap();
  return std::move(batch);
}

}  // namespace vesalius::data
