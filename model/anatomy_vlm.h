// Anatomy-VLM (Gu et al., WACV 2026, as specified in docs/model.md): ViT with 29 anatomy queries;
// boxes and presence per region; region embeddings enriched by the mean patch; a text tower;
// image-label, region-phrase and, as an option, image-report alignment. Three stages: localise; +
// image labels (and image-report); + region phrases.
#pragma once

#include "model/config.h"
#include "model/knowledge.h"
#include "model/losses.h"
#include "model/recipe.h"
#include "model/sentence_table.h"
#include "model/text.h"
#include "model/vision.h"

namespace vesalius::model {

class AnatomyVlm : public Recipe, public torch::nn::Module {
 public:
  // `label_prompts` [K, L] token ids of the image-label bank (K may be 0); `family` [29, 29] bool:
  // parent/child pairs of regions.
  AnatomyVlm(const ModelConfig& config, std::uint64_t seed, at::Tensor label_prompts,
             at::Tensor family);

  std::vector<ParameterInfo> parameters() override;
  bool NeedsRegionTexts(int stage) const override;
  bool NeedsReports() const override { return config_.loss.pair > 0; }
  void SetStage(int stage) override;
  void BeginStep(std::uint64_t stream, bool audit) override;
  Features Encode(const BatchTensors& slice) override;
  std::vector<NamedLoss> Loss(const Features& features, const BatchTensors& batch,
                              dist::Communicator& comm) override;
  void AfterStep() override;
  void StepTables(double lr) override;
  void ForgetTableGradients() override;

  // Texts are looked up from now on. The encoder must be frozen and have its final weights.
  void UseSentences(std::shared_ptr<SentenceTable> sentences);
  // Knowledge rows come from `table` in training: those of `of_region` [29, R] int64, -1 = none,
  // for every image. Without a call the module is left out.
  void UseKnowledge(std::shared_ptr<dist::ShardedTable> table, const at::Tensor& of_region);
  // Collective: takes the rows from the table as they are now, for EncodeImages.
  void RefreshKnowledge();
  // The same without a table: rows [29, R, H].
  void SetKnowledgeRows(const at::Tensor& rows, const at::Tensor& of_region);
  const at::Tensor& knowledge_rows() const { return knowledge_rows_; }  // undefined without

  // For evaluation and embedding, all heads whatever the stage.
  struct ImageOutput {
    at::Tensor global;    // [n, d]
    at::Tensor regions;   // [n, 29, d]
    at::Tensor boxes;     // [n, 29, 4] cx cy w h in [0, 1]
    at::Tensor presence;  // [n, 29] logits
  };
  ImageOutput EncodeImages(const at::Tensor& image) const;
  at::Tensor EncodeTexts(const at::Tensor& ids) const { return text_->Forward(ids); }

  const TextEncoder& text() const { return *text_; }
  const ModelConfig& config() const { return config_; }

 private:
  enum class Tower { kVision, kText, kReport };
  Dropout DropoutOf(Tower tower, std::int64_t first, std::int64_t count) const;
  at::Tensor Boxes(const at::Tensor& regions) const;
  // rows [1, 29, R, H]; undefined: no knowledge.
  at::Tensor RegionEmbedding(const VisionTransformer::Output& out, const at::Tensor& rows) const;
  at::Tensor KnowledgeRows();  // of knowledge_ids_, from the table
  // What the regions' vectors [n, 29, d] say of their concepts against the reports' labels.
  at::Tensor KnowledgeLoss(const at::Tensor& regions, const BatchTensors& batch,
                           dist::Communicator& comm);
  // Unit vectors of texts, encoded or looked up.
  at::Tensor Texts(const at::Tensor& keys, const at::Tensor& ids, const Dropout& dropout);

  ModelConfig config_;
  int stage_ = 3;
  bool audit_ = false;
  std::uint64_t seed_, stream_ = 0;
  at::Tensor label_prompts_, family_;
  std::shared_ptr<VisionTransformer> vision_;
  std::shared_ptr<TextEncoder> text_;
  std::shared_ptr<Linear> box1_, box2_, box3_, presence_, enrich_, global_;
  std::shared_ptr<KnowledgeAttention> knowledge_;        // none when it is off
  std::shared_ptr<SentenceTable> sentences_;             // none: texts are encoded
  std::shared_ptr<dist::ShardedTable> knowledge_table_;  // none outside training
  at::Tensor prompt_pooled_;                             // of label_prompts_, with sentences_
  at::Tensor knowledge_ids_, knowledge_valid_, knowledge_rows_;    // [29, R], and [1, 29, R, H]
  at::Tensor fine_scale_, pair_scale_, label_scale_, label_bias_;  // scales as logarithms
  at::Tensor pair_bias_;                                           // SigLIP only
};

}  // namespace vesalius::model
