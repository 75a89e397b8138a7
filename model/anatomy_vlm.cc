#include "model/anatomy_vlm.h"

#include "base/hash.h"
#include "data/record.h"
#include "data/text/concepts.h"

namespace vesalius::model {
namespace {

// Bounds of the contrastive logit scales (temperature in [0.01, 0.5]), applied after each step.
const double kLogMinScale = std::log(2.0), kLogMaxScale = std::log(100.0);

// Rows of a rank that the audit takes again in float64.
constexpr std::int64_t kAuditRows = 8;

// Start of SigLIP's bias: most pairs are negatives (Zhai et al., 2023).
constexpr double kPairBias = -10;

dist::Contrast ContrastOf(const ContrastConfig& config) {
  return config.contrast == "gather" ? dist::Contrast::kGather
         : config.contrast == "ring" ? dist::Contrast::kRing
                                     : dist::Contrast::kHybrid;
}

at::Tensor Scalar(double value) { return at::scalar_tensor(value, at::kFloat); }

}  // namespace

BatchTensors BatchTensors::Slice(std::int64_t i0, std::int64_t i1, std::int64_t t0,
                                 std::int64_t t1) const {
  BatchTensors slice = *this;
  for (at::Tensor* of_image : {&slice.image, &slice.boxes, &slice.box_valid, &slice.region_labels,
                               &slice.region_abnormal, &slice.image_labels, &slice.region_text,
                               &slice.region_truth, &slice.reports, &slice.report_hash})
    if (of_image->defined()) *of_image = of_image->slice(0, i0, i1);
  for (at::Tensor* of_text : {&slice.texts, &slice.signatures})
    if (of_text->defined()) *of_text = of_text->slice(0, t0, t1);
  slice.first_image += i0;
  slice.first_text += t0;
  return slice;
}

AnatomyVlm::AnatomyVlm(const ModelConfig& config, std::uint64_t seed, at::Tensor label_prompts,
                       at::Tensor family)
    : config_(config),
      seed_(seed),
      label_prompts_(std::move(label_prompts)),
      family_(std::move(family)) {
  Initialiser init(seed);
  const std::int64_t width = config.vision.width, d = config.embed_dim;
  vision_ = register_module("vision", std::make_shared<VisionTransformer>(init, config.vision));
  auto box = register_module("box_head", std::make_shared<torch::nn::Module>());
  box1_ = box->register_module("0", std::make_shared<Linear>(init, width, width));
  box2_ = box->register_module("1", std::make_shared<Linear>(init, width, width));
  box3_ = box->register_module("2", std::make_shared<Linear>(init, width, 4));
  presence_ = register_module("presence_head", std::make_shared<Linear>(init, width, 1));
  enrich_ = register_module("enrich", std::make_shared<Linear>(init, 2 * width, d));
  global_ = register_module("global_head", std::make_shared<Linear>(init, width, d, false));
  text_ =
      register_module("text", std::make_shared<TextEncoder>(init, config.text, config.embed_dim));
  if (config.knowledge.enabled)
    knowledge_ =
        register_module("knowledge", std::make_shared<KnowledgeAttention>(
                                         init, width, config.text.width, config.knowledge.heads));
  fine_scale_ = register_parameter("fine_scale", Scalar(-std::log(config.temperature)));
  pair_scale_ = register_parameter("pair_scale", Scalar(-std::log(config.temperature)));
  if (config.contrast.pair_form == "siglip")
    pair_bias_ = register_parameter("pair_bias", Scalar(kPairBias));
  label_scale_ = register_parameter("label_scale", Scalar(std::log(config.label_scale)));
  label_bias_ = register_parameter("label_bias", Scalar(config.label_bias));
  SetStage(3);
}

std::vector<ParameterInfo> AnatomyVlm::parameters() {
  std::vector<ParameterInfo> list;
  for (const auto& item : named_parameters()) {
    const std::string& name = item.key();
    const bool table = name.find("embeddings.") != std::string::npos ||
                       name.find("token") != std::string::npos ||
                       name.find("pos") != std::string::npos;
    list.push_back({name, item.value(), item.value().dim() > 1 && !table});
  }
  return list;
}

bool AnatomyVlm::NeedsRegionTexts(int stage) const { return stage >= 3 && config_.loss.fine > 0; }

void AnatomyVlm::SetStage(int stage) {
  stage_ = stage;
  const bool labels = stage >= 2 && config_.loss.global > 0 && label_prompts_.size(0) > 0;
  const bool pair = stage >= 2 && config_.loss.pair > 0;
  const bool fine = NeedsRegionTexts(stage);
  const auto starts = [](const std::string& name, const char* prefix) {
    return name.rfind(prefix, 0) == 0;
  };
  for (const auto& item : named_parameters()) {
    const std::string& name = item.key();
    bool trains = true;
    if (starts(name, "text.")) {
      trains =
          (labels || pair || fine) && (!config_.text.frozen || starts(name, "text.projection."));
    } else if (starts(name, "global_head.")) {
      trains = labels || pair;
    } else if (starts(name, "enrich.") || starts(name, "knowledge.") || name == "fine_scale") {
      trains = fine;
    } else if (starts(name, "pair_")) {
      trains = pair;
    } else if (starts(name, "label_")) {
      trains = labels;
    }
    item.value().requires_grad_(trains);
  }
}

void AnatomyVlm::BeginStep(std::uint64_t stream, bool audit) {
  stream_ = stream;
  audit_ = audit;
}

Dropout AnatomyVlm::DropoutOf(Tower tower, std::int64_t first, std::int64_t count) const {
  const std::uint64_t key = Mix64(Mix64(seed_ + static_cast<std::uint64_t>(tower)) + stream_);
  return {config_.dropout, key, at::arange(first, first + count, at::kLong)};
}

at::Tensor AnatomyVlm::Boxes(const at::Tensor& regions) const {
  const at::Tensor hidden = at::relu(box2_->Forward(at::relu(box1_->Forward(regions))));
  return Widen(box3_->Forward(hidden)).sigmoid();
}

at::Tensor AnatomyVlm::RegionEmbedding(const VisionTransformer::Output& out,
                                       const at::Tensor& rows) const {
  const at::Tensor regions =
      rows.defined() ? knowledge_->Forward(out.regions, rows, knowledge_valid_) : out.regions;
  const at::Tensor context = out.patches.mean(1, /*keepdim=*/true).expand_as(out.regions);
  return L2Normalise(enrich_->Forward(at::cat({regions, context}, -1)));
}

at::Tensor AnatomyVlm::KnowledgeRows() {
  return knowledge_table_->Lookup(knowledge_ids_.clamp_min(0).flatten())
      .view({1, knowledge_ids_.size(0), knowledge_ids_.size(1), -1})
      .to(fine_scale_.device());
}

at::Tensor AnatomyVlm::KnowledgeLoss(const at::Tensor& regions, const BatchTensors& batch,
                                     dist::Communicator& comm) {
  // Labels of the findings among a region's concepts; the anatomy itself has none.
  const std::int64_t n = regions.size(0), each = knowledge_ids_.size(1);
  const at::Tensor finding = (knowledge_ids_ - data::FindingConcept(0)).to(regions.device());
  const at::Tensor index = finding.clamp_min(0).unsqueeze(0).expand({n, finding.size(0), each});
  const at::Tensor labels =
      batch.region_labels.gather(2, index).masked_fill(finding.lt(0).unsqueeze(0), -1);
  std::int64_t count[] = {labels.ge(0).sum().item<std::int64_t>()};
  dist::AllReduceNow(comm, "concept labels", count);
  const at::Tensor rows = KnowledgeRows().squeeze(0);
  const at::Tensor concepts =
      text_->Project(rows.flatten(0, 1)).view({rows.size(0), rows.size(1), -1});
  return ImageLabelLoss(knowledge_->Logits(regions, concepts), labels, count[0]);
}

at::Tensor AnatomyVlm::Texts(const at::Tensor& keys, const at::Tensor& ids,
                             const Dropout& dropout) {
  return sentences_ ? text_->Project(sentences_->Pooled(keys, ids, *text_))
                    : text_->Forward(ids, dropout);
}

void AnatomyVlm::UseSentences(std::shared_ptr<SentenceTable> sentences) {
  const at::NoGradGuard no_grad;
  sentences_ = std::move(sentences);
  prompt_pooled_ = text_->Pooled(label_prompts_);
}

void AnatomyVlm::UseKnowledge(std::shared_ptr<dist::ShardedTable> table,
                              const at::Tensor& of_region) {
  knowledge_table_ = std::move(table);
  knowledge_ids_ = of_region;
  knowledge_valid_ = of_region.ge(0).unsqueeze(0).to(fine_scale_.device());
}

void AnatomyVlm::RefreshKnowledge() {
  if (!knowledge_table_) return;
  const at::NoGradGuard no_grad;
  knowledge_rows_ = KnowledgeRows();
}

void AnatomyVlm::SetKnowledgeRows(const at::Tensor& rows, const at::Tensor& of_region) {
  UseKnowledge(nullptr, of_region);
  knowledge_rows_ = rows.unsqueeze(0).to(fine_scale_.device());
}

void AnatomyVlm::StepTables(double lr) {
  if (knowledge_table_) knowledge_table_->Step(lr);
}

void AnatomyVlm::ForgetTableGradients() {
  if (knowledge_table_) knowledge_table_->ForgetGradients();
}

Features AnatomyVlm::Encode(const BatchTensors& slice) {
  Features features;
  const std::int64_t images = slice.image.size(0);
  const VisionTransformer::Output out =
      vision_->Forward(slice.image, DropoutOf(Tower::kVision, slice.first_image, images));
  features["box"] = Boxes(out.regions);
  features["presence"] = presence_->Forward(out.regions).squeeze(-1);
  if (stage_ >= 2) features["global"] = L2Normalise(global_->Forward(out.cls));
  if (stage_ >= 2 && NeedsReports())
    features["report"] = Texts(sentences_ ? ReportKeys(slice.report_hash) : slice.report_hash,
                               slice.reports, DropoutOf(Tower::kReport, slice.first_image, images));
  if (NeedsRegionTexts(stage_)) {
    features["region"] = RegionEmbedding(out, knowledge_table_ ? KnowledgeRows() : at::Tensor());
    features["text"] = Texts(slice.signatures.select(1, 0), slice.texts,
                             DropoutOf(Tower::kText, slice.first_text, slice.texts.size(0)));
  }
  return features;
}

std::vector<NamedLoss> AnatomyVlm::Loss(const Features& features, const BatchTensors& batch,
                                        dist::Communicator& comm) {
  if (batch.padding > 0) {
    const std::int64_t images = batch.image.size(0) - batch.padding;
    Features kept = features;
    for (auto& [name, rows] : kept)
      if (name != "text") rows = rows.narrow(0, 0, images);
    BatchTensors real = batch.Slice(0, images, 0, batch.texts.size(0));
    real.padding = 0;
    return Loss(kept, real, comm);
  }
  const LossConfig& weight = config_.loss;
  const bool fine = NeedsRegionTexts(stage_);
  const at::Tensor chosen = fine ? batch.region_text.flatten().ge(0).nonzero().squeeze(1)
                                 : at::empty({0}, batch.report_hash.options());
  const GlobalCounts counts =
      CountGlobally(comm, batch.image.device(),
                    {batch.image.size(0), chosen.size(0), fine ? batch.texts.size(0) : 0,
                     batch.box_valid.sum().item<std::int64_t>(),
                     batch.image_labels.ge(0).sum().item<std::int64_t>()});

  std::vector<NamedLoss> losses;
  const BoxLoss box = AnatomyLoss(features.at("box"), batch.boxes, batch.box_valid, weight.l1,
                                  weight.giou, counts.boxes);
  losses.push_back({"anatomy", weight.anatomy, box.loss});
  losses.push_back({"iou", 0, box.iou});
  losses.push_back({"presence", weight.presence,
                    PresenceLoss(features.at("presence"), batch.box_valid, counts.all_images())});
  if (stage_ >= 2 && weight.global > 0 && label_prompts_.size(0) > 0) {
    const at::Tensor bank =
        sentences_ ? text_->Project(prompt_pooled_) : text_->Forward(label_prompts_);
    const at::Tensor logits =
        label_scale_.exp() * at::matmul(features.at("global"), bank.t()) + label_bias_;
    losses.push_back(
        {"global", weight.global, ImageLabelLoss(logits, batch.image_labels, counts.labels)});
  }
  if (stage_ >= 2 && weight.pair > 0) {
    const ContrastConfig& how = config_.contrast;
    dist::RingOptions options;
    options.form = pair_bias_.defined() ? dist::LossForm::kSigLip : dist::LossForm::kInfoNce;
    options.contrast = ContrastOf(how);
    options.cache_bytes = how.logit_cache_bytes;
    options.skip_epsilon = how.skip_epsilon;
    options.audit_rows = audit_ ? kAuditRows : 0;
    const dist::RingResult pair =
        PairLoss(comm, features.at("global"), features.at("report"), batch.report_hash,
                 pair_scale_.exp(), pair_bias_, counts.images,
                 how.positives == "drop" ? dist::KeyPositives::Extra::kDrop
                                         : dist::KeyPositives::Extra::kShare,
                 options);
    losses.push_back({"pair", weight.pair, pair.loss});
    if (audit_) losses.push_back({"audit.loss_error", 0, Scalar(pair.audit_error / comm.size())});
  }
  if (fine) {
    const auto rows = [&chosen](const at::Tensor& x) {
      return x.flatten(0, 1).index_select(0, chosen);
    };
    FineInputs in;
    in.regions = rows(features.at("region"));
    in.texts = features.at("text");
    in.scale = fine_scale_.exp();
    in.own_text = batch.signatures.select(1, 0).index_select(0, rows(batch.region_text));
    in.own_truth = rows(batch.region_truth);
    in.anatomy = chosen.remainder(data::kRegions).to(at::kChar);
    in.abnormal = rows(batch.region_abnormal);
    in.labels = rows(batch.region_labels);
    in.signatures = batch.signatures;
    in.family = family_;
    losses.push_back(
        {"fine", weight.fine, FineLoss(comm, in, counts, ContrastOf(config_.contrast))});
    if (knowledge_table_ && weight.knowledge > 0 && batch.region_labels.size(2) > 0)
      losses.push_back(
          {"knowledge", weight.knowledge, KnowledgeLoss(features.at("region"), batch, comm)});
  }
  return losses;
}

void AnatomyVlm::AfterStep() {
  const at::NoGradGuard no_grad;
  fine_scale_.clamp_(kLogMinScale, kLogMaxScale);
  pair_scale_.clamp_(kLogMinScale, kLogMaxScale);
}

AnatomyVlm::ImageOutput AnatomyVlm::EncodeImages(const at::Tensor& image) const {
  const VisionTransformer::Output out = vision_->Forward(image);
  return {L2Normalise(global_->Forward(out.cls)), RegionEmbedding(out, knowledge_rows_),
          Boxes(out.regions), presence_->Forward(out.regions).squeeze(-1)};
}

}  // namespace vesalius::model
