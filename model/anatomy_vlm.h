// Anatomy-VLM (Gu et al., WACV 2026, as specified in docs/model.md): ViT with 29 anatomy queries;
// boxes and presence per region; region embeddings enriched by the mean patch; a text tower;
// image-label, region-phrase and, as an option, image-report alignment. Three stages: localise; +
// image labels (and image-report); + region phrases.
#pragma once

#include "model/config.h"
#include "model/losses.h"
#include "model/recipe.h"
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

  // For evaluation and embedding, all heads whatever the stage.
  struct ImageOutput {
    at::Tensor global;    // [n, d]
    at::Tensor regions;   // [n, 29, d]
    at::Tensor boxes;     // [n, 29, 4] cx cy w h in [0, 1]
    at::Tensor presence;  // [n, 29] logits
  };
  ImageOutput EncodeImages(const at::Tensor& image) const;
  at::Tensor EncodeTexts(const at::Tensor& ids) const { return text_->Forward(ids); }

  const ModelConfig& config() const { return config_; }

 private:
  enum class Tower { kVision, kText, kReport };
  Dropout DropoutOf(Tower tower, std::int64_t first, std::int64_t count) const;
  at::Tensor Boxes(const at::Tensor& regions) const;
  at::Tensor RegionEmbedding(const VisionTransformer::Output& out) const;

  ModelConfig config_;
  int stage_ = 3;
  bool audit_ = false;
  std::uint64_t seed_, stream_ = 0;
  at::Tensor label_prompts_, family_;
  std::shared_ptr<VisionTransformer> vision_;
  std::shared_ptr<TextEncoder> text_;
  std::shared_ptr<Linear> box1_, box2_, box3_, presence_, enrich_, global_;
  at::Tensor fine_scale_, pair_scale_, label_scale_, label_bias_;  // scales as logarithms
  at::Tensor pair_bias_;                                           // SigLIP only
};

}  // namespace vesalius::model
