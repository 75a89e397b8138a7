// From batches to tensors: a rank whose records could not be read takes part with no rows.
#include "trainer/model_setup.h"

#include <gtest/gtest.h>

#include <numeric>

#include "dist/bootstrap.h"

namespace vesalius::trainer {
namespace {

// n images with reports, and one text for every region.
data::Batch SomeBatch(std::int64_t n, int size) {
  constexpr std::int64_t kRegions = data::kRegions;
  data::Batch batch;
  batch.rows = n;
  batch.channels = 1;
  batch.size = size;
  batch.images.assign(n * size * size, 0.25f);
  batch.boxes.assign(n * kRegions * 4, 0.5f);
  batch.box_valid.assign(n * kRegions, 1);
  batch.region_labels.assign(n * kRegions * 2, 1);
  batch.region_abnormal.assign(n * kRegions, 1);
  batch.image_labels.assign(n * 3, 1);
  batch.region_text.assign(n * kRegions, 0);
  batch.region_truth.assign(n * kRegions, 1);
  batch.report_hash.assign(n, 5);
  if (n == 0) return batch;
  batch.texts = {1, 3, {2, 5, 3}};
  batch.signatures = {{77, 0, 0, 1}};
  batch.reports = {n, 4, std::vector<std::int64_t>(n * 4, 5)};
  return batch;
}

// The sum of the ranks' losses where rank 0 holds two images and the others none.
double LossOver(int ranks) {
  const Config config = LoadConfig("tiny", "", {"loss.pair=1", "data.report_length=16"});
  const ModelVocabulary words{{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "nodule"},
                              {"a", "b", "c"},
                              std::vector<int>(data::kRegions, -1)};
  std::vector<double> shares(ranks);
  dist::RunLocalRanks(ranks, [&](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    const auto model = BuildModel(config, words, at::kCPU);
    const data::Batch batch = SomeBatch(bootstrap.rank() == 0 ? 2 : 0, 64);
    const model::BatchTensors tensors = ToTensors(batch, 2, 3, at::kFloat, at::kCPU);
    at::Tensor total = at::zeros({});
    for (const auto& loss : model->Loss(model->Encode(tensors), tensors, *comm))
      total = total + loss.weight * loss.value;
    total.backward();
    shares[bootstrap.rank()] = total.item<double>();
  });
  return std::accumulate(shares.begin(), shares.end(), 0.0);
}

TEST(ModelSetup, ARankWithoutRowsTakesPart) {
  const double alone = LossOver(1);
  EXPECT_GT(alone, 0);
  EXPECT_NEAR(LossOver(2), alone, 1e-5 * alone);
}

TEST(ModelSetup, VocabularyRoundTrips) {
  const ModelVocabulary words{
      {"[PAD]", "\xC3\xA9"}, {"label"}, std::vector<int>(data::kRegions, 3)};
  const ModelVocabulary back = ParseVocabulary(SerializeVocabulary(words));
  EXPECT_EQ(back.wordpieces, words.wordpieces);
  EXPECT_EQ(back.image_labels, words.image_labels);
  EXPECT_EQ(back.parents, words.parents);
}

}  // namespace
}  // namespace vesalius::trainer
