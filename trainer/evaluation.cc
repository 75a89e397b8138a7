#include "trainer/evaluation.h"

#include <map>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "data/loader/region_text.h"
#include "ops/box.h"
#include "trainer/detection_metrics.h"
#include "trainer/model_setup.h"
#include "trainer/ranking_metrics.h"

namespace vesalius::trainer {
namespace {

constexpr int kRegions = data::kRegions;
constexpr int kAtLeast = 5;  // positives and negatives that an AUC needs

// null with a reason, where the data cannot support a figure.
void SetNull(Figures& section, const std::vector<std::string>& names, const std::string& reason) {
  for (const std::string& name : names) section[name] = nullptr;
  section["reason"] = reason;
}

double MeanOf(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

at::Tensor IouOf(const at::Tensor& a, const at::Tensor& b) {
  return ops::IouGiou(ops::CornersFromCentre(a), ops::CornersFromCentre(b)).first;
}

DetectionFigures DetectionOf(const EvaluationRows& rows) {
  std::vector<GroundTruth> truths;
  std::vector<Detection> detections;
  const auto predicted = rows.boxes.accessor<float, 3>(),
             target = rows.true_boxes.accessor<float, 3>();
  const auto score = rows.presence.accessor<float, 2>();
  const auto valid = rows.valid.accessor<std::uint8_t, 2>();
  for (std::int64_t i = 0; i < rows.boxes.size(0); ++i)
    for (int r = 0; r < kRegions; ++r) {
      const auto p = predicted[i][r], t = target[i][r];
      detections.push_back({i, r, p[0] - p[2] / 2, p[1] - p[3] / 2, p[2], p[3], score[i][r]});
      if (valid[i][r] != 0)
        truths.push_back({i, r, t[0] - t[2] / 2, t[1] - t[3] / 2, t[2], t[3], t[2] * t[3], false});
    }
  return CocoFigures(truths, detections, kRegions);
}

// The mean training box of each region, the constant predictor that localisation must beat.
at::Tensor MeanTrainingBox(const data::Dataset& dataset, at::Tensor* seen) {
  constexpr std::int64_t kSample = 2000;  // records read at most, evenly spread
  const auto train = data::OpenDataset(dataset.path(), data::Split::kTrain);
  at::Tensor sum = at::zeros({kRegions, 4}, at::kDouble),
             count = at::zeros({kRegions}, at::kDouble);
  const std::int64_t stride = std::max<std::int64_t>(1, (train->size() + kSample - 1) / kSample);
  for (std::int64_t i = 0; i < train->size(); i += stride) {
    try {
      const data::Record record = train->Get(i);
      for (int r = 0; r < kRegions; ++r) {
        if (!record.box_valid[r]) continue;
        const data::Box& box = record.boxes[r];
        sum[r] += at::tensor({box.cx, box.cy, box.w, box.h}, at::kDouble);
        count[r] += 1;
      }
    } catch (const Error& error) {
      if (error.code() != ExitCode::kInvalidData) throw;
    }
  }
  *seen = count.gt(0);
  return (sum / count.clamp_min(1).unsqueeze(1)).to(at::kFloat);
}

Figures Localisation(const EvaluationRows& rows, const data::Dataset& dataset) {
  Figures out;
  const at::Tensor valid = rows.valid.ne(0);
  if (!valid.any().item<bool>()) {
    SetNull(out, {"mean_iou", "map50", "map"}, "no record of this split has a box");
    return out;
  }
  const at::Tensor iou = IouOf(rows.boxes, rows.true_boxes);
  at::Tensor seen;
  const at::Tensor constant = MeanTrainingBox(dataset, &seen);
  const at::Tensor floor = IouOf(constant.expand_as(rows.true_boxes), rows.true_boxes);
  const DetectionFigures detection = DetectionOf(rows);
  const auto mean = [](const at::Tensor& values, const at::Tensor& mask) {
    return values.masked_select(mask).to(at::kDouble).mean().item<double>();
  };
  out["mean_iou"] = mean(iou, valid);
  out["map50"] = detection.ap50;
  out["map"] = detection.ap;
  const at::Tensor comparable = valid.logical_and(seen.unsqueeze(0));
  if (comparable.any().item<bool>()) out["constant_box_iou"] = mean(floor, comparable);
  for (int r = 0; r < kRegions; ++r) {
    const at::Tensor mask = valid.select(1, r);
    if (!mask.any().item<bool>()) continue;
    Figures& region = out["regions"][data::kRegionNames[r]];
    region["iou"] = mean(iou.select(1, r), mask);
    region["ap50"] = detection.category_ap50[r];
    region["ap"] = detection.category_ap[r];
    region["count"] = mask.sum().item<std::int64_t>();
    if (seen[r].item<bool>()) region["constant_box_iou"] = mean(floor.select(1, r), mask);
  }
  return out;
}

// Unit vectors of texts, on CPU.
at::Tensor EmbedTexts(model::AnatomyVlm& model, const Config& config,
                      const data::Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  const at::NoGradGuard no_grad;
  constexpr std::size_t kBatch = 256;
  const at::Device device = model.parameters()[0].tensor.device();
  std::vector<at::Tensor> parts{at::zeros({0, config.model.embed_dim})};
  for (std::size_t begin = 0; begin < texts.size(); begin += kBatch) {
    std::vector<std::vector<std::int64_t>> ids;
    for (std::size_t i = begin; i < std::min(texts.size(), begin + kBatch); ++i)
      ids.push_back(tokenizer.EncodeWithSpecials(texts[i], config.model.text.positions));
    parts.push_back(model.EncodeTexts(PadIds(ids).to(device)).to(at::kCPU, at::kFloat));
  }
  return at::cat(parts);
}

std::vector<double> ToDoubles(const at::Tensor& x) {
  const at::Tensor values = x.to(at::kDouble).contiguous();
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

std::vector<int> ToInts(const at::Tensor& x) {
  const at::Tensor values = x.to(at::kInt).contiguous();
  return {values.const_data_ptr<int>(), values.const_data_ptr<int>() + values.numel()};
}

// Anatomy-wise zero-shot: for each region and finding with explicit labels, the region's embedding
// against "<f> in the <r>." minus "no <f> in the <r>.".
Figures Anatomy(model::AnatomyVlm& model, const Config& config, const data::Tokenizer& tokenizer,
                const EvaluationRows& rows, const data::Vocabulary& words) {
  Figures out;
  const int findings = static_cast<int>(words.findings.size());
  if (findings == 0 || words.positive_forms.empty() || words.negative_forms.empty()) {
    SetNull(out, {"auc"}, "the data set has no region findings");
    return out;
  }
  std::vector<std::pair<int, int>> pairs;
  std::vector<std::string> prompts;
  for (int r = 0; r < kRegions; ++r)
    for (int f = 0; f < findings; ++f)
      if (words.can[r * findings + f]) {
        pairs.emplace_back(r, f);
        prompts.push_back(data::FindingSentence(words, r, f, 1, nullptr));
        prompts.push_back(data::FindingSentence(words, r, f, 0, nullptr));
      }
  const at::Tensor texts = EmbedTexts(model, config, tokenizer, prompts);
  std::map<int, std::vector<double>> by_region, by_finding;
  for (std::size_t p = 0; p < pairs.size(); ++p) {
    const auto [r, f] = pairs[p];
    const at::Tensor direction = texts[2 * p] - texts[2 * p + 1];
    const at::Tensor score = at::matmul(rows.regions.select(1, r), direction);
    const auto auc =
        Auroc(ToDoubles(score), ToInts(rows.labels.select(1, r).select(1, f)), kAtLeast);
    if (!auc) continue;
    by_region[r].push_back(*auc);
    by_finding[f].push_back(*auc);
  }
  if (by_region.empty()) {
    SetNull(out, {"auc"}, "no region and finding has 5 positive and 5 negative labels");
    return out;
  }
  std::vector<double> means;
  std::int64_t combinations = 0;
  for (const auto& [r, values] : by_region) {
    means.push_back(MeanOf(values));
    combinations += static_cast<std::int64_t>(values.size());
    out["regions"][data::kRegionNames[r]] = means.back();
  }
  for (const auto& [f, values] : by_finding)
    out["findings"][words.findings[f].name] = MeanOf(values);
  out["auc"] = MeanOf(means);
  out["combinations"] = combinations;
  return out;
}

// Hits, chance and ranks of one group of region-to-phrase queries.
struct Retrieval {
  std::int64_t queries = 0;
  double first = 0, five = 0, chance = 0;
  void Add(std::int64_t rank, double share) {
    ++queries;
    first += rank == 1;
    five += rank >= 1 && rank <= 5;
    chance += share;
  }
};

// Region to phrase: gallery = all distinct sentences of the split; a hit is a sentence said of the
// region or entailed by its explicit labels.
Figures RegionToPhrase(model::AnatomyVlm& model, const Config& config,
                       const data::Tokenizer& tokenizer, const EvaluationRows& rows) {
  struct Phrase {
    std::string text;
    int region, finding, polarity;
  };
  std::vector<Phrase> gallery;
  std::map<std::string, int> index;
  for (std::size_t i = 0; i < rows.sentences.size(); ++i)
    for (const data::Sentence& sentence : rows.sentences[i])
      if (const std::string key = data::NormalisedText(sentence.text);
          index.emplace(key, static_cast<int>(gallery.size())).second)
        gallery.push_back(
            {sentence.text, static_cast<int>(i % kRegions), sentence.finding, sentence.polarity});
  Figures out;
  if (gallery.size() < 2) {
    SetNull(out, {"r1", "r1_abnormal", "r5", "chance", "gallery"},
            "fewer than two distinct region sentences");
    return out;
  }
  std::vector<std::string> texts;
  for (const Phrase& phrase : gallery) texts.push_back(phrase.text);
  const at::Tensor columns = EmbedTexts(model, config, tokenizer, texts).t().contiguous();
  const auto labels = rows.labels.accessor<std::int8_t, 3>();
  const auto abnormal = rows.abnormal.accessor<std::int8_t, 2>();
  Retrieval all, sick;
  std::map<int, Retrieval> by_region;
  std::vector<std::uint8_t> hits(gallery.size());
  for (std::int64_t i = 0; i < rows.regions.size(0); ++i) {
    const at::Tensor scores = at::matmul(rows.regions[i], columns).contiguous();
    for (int r = 0; r < kRegions; ++r) {
      const auto& said = rows.sentences[i * kRegions + r];
      if (said.empty()) continue;
      double share = 0;
      for (std::size_t g = 0; g < gallery.size(); ++g) {
        const Phrase& phrase = gallery[g];
        const int label = phrase.finding >= 0                        ? labels[i][r][phrase.finding]
                          : phrase.finding == data::kNormalStatement ? abnormal[i][r]
                                                                     : -1;
        hits[g] = phrase.region == r && label >= 0 && label == phrase.polarity;
      }
      for (const data::Sentence& sentence : said)
        hits[index[data::NormalisedText(sentence.text)]] = 1;
      for (const std::uint8_t hit : hits) share += hit;
      const float* row = scores.const_data_ptr<float>() + r * gallery.size();
      const std::int64_t rank = RankOfFirstHit({row, gallery.size()}, hits);
      share /= static_cast<double>(gallery.size());
      all.Add(rank, share);
      by_region[r].Add(rank, share);
      if (abnormal[i][r] == 1) sick.Add(rank, share);
    }
  }
  const auto n = static_cast<double>(all.queries);
  out["r1"] = all.first / n;
  out["r5"] = all.five / n;
  out["chance"] = all.chance / n;
  out["gallery"] = gallery.size();
  out["queries"] = all.queries;
  if (sick.queries > 0) {
    out["r1_abnormal"] = sick.first / static_cast<double>(sick.queries);
    out["queries_abnormal"] = sick.queries;
  } else {
    SetNull(out, {"r1_abnormal"}, "no region with a sentence carries a finding");
  }
  for (const auto& [r, group] : by_region)
    out["regions"][data::kRegionNames[r]] = {
        {"r1", group.first / static_cast<double>(group.queries)}, {"queries", group.queries}};
  return out;
}

// Image to report and back. Duplicate reports are one gallery entry, and hits of one another.
Figures ImageReport(const EvaluationRows& rows) {
  std::vector<std::int64_t> queries, distinct;  // rows of images, rows of first occurrences
  std::set<std::int64_t> seen;
  const auto hash = rows.report_hash.accessor<std::int64_t, 1>();
  for (std::int64_t i = 0; i < rows.report_hash.size(0); ++i) {
    if (hash[i] == 0) continue;
    queries.push_back(i);
    if (seen.insert(hash[i]).second) distinct.push_back(i);
  }
  Figures out;
  if (distinct.size() < 2) {
    SetNull(out, {"i2t_r1", "t2i_r1", "mrr", "gallery"}, "fewer than two distinct reports");
    return out;
  }
  const auto pick = [](const at::Tensor& x, const std::vector<std::int64_t>& index) {
    return x.index_select(0, at::tensor(index));
  };
  const at::Tensor scores =
      at::matmul(pick(rows.global, queries), pick(rows.reports, distinct).t());
  double image_first = 0, text_first = 0, reciprocal = 0;
  const auto sweep = [&](const at::Tensor& table, const std::vector<std::int64_t>& from,
                         const std::vector<std::int64_t>& to, double* first) {
    const at::Tensor lines = table.contiguous();
    std::vector<std::uint8_t> hits(to.size());
    for (std::size_t q = 0; q < from.size(); ++q) {
      for (std::size_t c = 0; c < to.size(); ++c) hits[c] = hash[from[q]] == hash[to[c]];
      const std::int64_t rank =
          RankOfFirstHit({lines.const_data_ptr<float>() + q * to.size(), to.size()}, hits);
      *first += rank == 1;
      reciprocal += 1.0 / static_cast<double>(rank);
    }
  };
  sweep(scores, queries, distinct, &image_first);
  sweep(scores.t(), distinct, queries, &text_first);
  out["i2t_r1"] = image_first / static_cast<double>(queries.size());
  out["t2i_r1"] = text_first / static_cast<double>(distinct.size());
  out["mrr"] = reciprocal / static_cast<double>(queries.size() + distinct.size());
  out["gallery"] = distinct.size();
  out["images"] = queries.size();
  return out;
}

// Image-level zero-shot: the global embedding against the label's prompt.
Figures ZeroShot(model::AnatomyVlm& model, const Config& config, const data::Tokenizer& tokenizer,
                 const EvaluationRows& rows, const data::Vocabulary& words) {
  Figures out;
  if (words.image_labels.empty()) {
    SetNull(out, {"auc"}, "the data set has no image labels");
    return out;
  }
  std::vector<std::string> prompts;
  for (const std::string& label : words.image_labels) prompts.push_back(LabelPrompt(label));
  const at::Tensor scores =
      at::matmul(rows.global, EmbedTexts(model, config, tokenizer, prompts).t());
  std::vector<double> values;
  for (std::size_t k = 0; k < words.image_labels.size(); ++k) {
    const auto auc =
        Auroc(ToDoubles(scores.select(1, k)), ToInts(rows.image_labels.select(1, k)), kAtLeast);
    if (!auc) continue;
    values.push_back(*auc);
    out["labels"][words.image_labels[k]] = *auc;
  }
  if (values.empty())
    SetNull(out, {"auc"}, "no label has 5 positives and 5 negatives");
  else
    out["auc"] = MeanOf(values);
  return out;
}

}  // namespace

at::Tensor OriginalPixels(const at::Tensor& boxes, const data::Geometry& geometry, int side) {
  const auto corners = [](int x, int y) { return at::tensor({x, y, x, y}, at::kFloat); };
  const at::Tensor offset = corners(geometry.pad_left, geometry.pad_top);
  const at::Tensor limit = corners(geometry.original_width, geometry.original_height);
  const at::Tensor pixels =
      (ops::CornersFromCentre(boxes.to(at::kFloat)) * side - offset) / geometry.scale;
  return at::minimum(pixels.clamp_min(0), limit);
}

Figures EvaluateDataset(model::AnatomyVlm& model, const Config& config,
                        const data::Tokenizer& tokenizer, const data::Dataset& dataset,
                        const std::string& task, dist::Communicator& comm) {
  const EvaluationRows rows = CollectRows(model, config, tokenizer, dataset, comm);
  if (comm.rank() != 0) return Figures::object();
  const at::NoGradGuard no_grad;
  const auto wanted = [&task](const char* name) { return task == "all" || task == name; };
  const data::Vocabulary& words = dataset.vocabulary();
  Figures out;
  out["images"] = rows.boxes.size(0);
  out["unreadable"] = rows.unreadable;
  if (wanted("localisation")) out["localisation"] = Localisation(rows, dataset);
  if (wanted("anatomy")) out["anatomy"] = Anatomy(model, config, tokenizer, rows, words);
  if (wanted("retrieval")) {
    out["region_to_phrase"] = RegionToPhrase(model, config, tokenizer, rows);
    out["image_report"] = ImageReport(rows);
  }
  if (wanted("zeroshot")) out["zeroshot"] = ZeroShot(model, config, tokenizer, rows, words);
  return out;
}

std::vector<std::pair<std::string, double>> Headline(const Figures& figures) {
  std::vector<std::pair<std::string, double>> out;
  for (const auto& [section, names] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"localisation", {"mean_iou", "map50", "map"}},
           {"anatomy", {"auc"}},
           {"region_to_phrase", {"r1", "r1_abnormal", "r5", "chance", "gallery"}},
           {"image_report", {"i2t_r1", "t2i_r1", "mrr", "gallery"}},
           {"zeroshot", {"auc"}}})
    for (const std::string& name : names)
      if (figures.contains(section) && figures[section].value(name, Figures()).is_number())
        out.emplace_back(section + "." + name, figures[section][name].get<double>());
  return out;
}

}  // namespace vesalius::trainer
