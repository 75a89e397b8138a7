// The losses against hand-computed values and definitions (model.md 3.15).
#include "model/losses.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "data/record.h"
#include "dist/bootstrap.h"
#include "model/layers.h"
#include "model/text.h"
#include "ops/box.h"

namespace vesalius::model {
namespace {

at::Tensor Box(double x0, double y0, double x1, double y1) {
  return at::tensor({x0, y0, x1, y1}, at::kDouble).unsqueeze(0);
}

double Giou(const at::Tensor& a, const at::Tensor& b) {
  return ops::IouGiou(a, b).second.item<double>();
}

TEST(Boxes, GiouOfKnownPairs) {
  EXPECT_NEAR(Giou(Box(0, 0, 1, 1), Box(0, 0, 1, 1)), 1, 1e-6);
  EXPECT_NEAR(Giou(Box(0, 0, 1, 1), Box(1, 1, 2, 2)), -0.5, 1e-6);  // U = 2, C = 4
  EXPECT_LT(Giou(Box(0, 0, 0.01, 0.01), Box(10, 10, 10.01, 10.01)), -0.99);
}

// The truth matrix as a whole, for tests.
class WholeTruth : public dist::Positives {
 public:
  explicit WholeTruth(at::Tensor truth) : truth_(std::move(truth)) {}
  dist::TilePairs At(std::int64_t row0, std::int64_t row1, std::int64_t column0,
                     std::int64_t column1) const override {
    const at::Tensor tile = truth_.slice(0, row0, row1).slice(1, column0, column1).flatten();
    return {tile.eq(1).nonzero().squeeze(1), tile.lt(0).nonzero().squeeze(1)};
  }

 private:
  at::Tensor truth_;
};

// The mean over lines of both directions, of logits x y^T.
at::Tensor Contrast(const at::Tensor& x, const at::Tensor& y, const at::Tensor& truth) {
  at::Tensor loss;
  dist::RunLocalRanks(1, [&](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    loss = dist::RingLoss(*comm, "loss", x, y, at::ones({}, x.options().requires_grad(false)), {},
                          {y.size(0)}, std::make_shared<WholeTruth>(truth), {})
               .loss;
    if (loss.requires_grad()) loss.backward();
  });
  return loss;
}

TEST(MultiPositive, IdentityIsInfoNceAndDuplicatesCostLn2) {
  const at::Tensor logits = at::randn({5, 5}, at::kDouble), eye = at::eye(5, at::kDouble);
  const at::Tensor both = at::cross_entropy_loss(logits, at::arange(5)) +
                          at::cross_entropy_loss(logits.t(), at::arange(5));
  EXPECT_NEAR(Contrast(logits, eye, at::eye(5, at::kChar)).item<double>(), both.item<double>() / 2,
              1e-12);
  // Two equal texts: the best that a row can do is to split its probability between them; a text
  // alone with its row costs nothing.
  const at::Tensor truth = at::tensor({1, 1, 0}, at::kInt).to(at::kChar).view({1, 3});
  const at::Tensor best = at::tensor({50.0, 50.0, -50.0}, at::kDouble).unsqueeze(1);
  EXPECT_NEAR(Contrast(at::ones({1, 1}, at::kDouble), best, truth).item<double>(),
              std::log(2.0) / 2, 1e-9);
}

TEST(MultiPositive, FullyIgnoredLineAddsNothing) {
  const at::Tensor logits = at::randn({2, 4}, at::kDouble).requires_grad_(true);
  at::Tensor truth = at::zeros({2, 4}, at::kChar);
  truth[0].fill_(-1);
  truth[1][2].fill_(1);
  const at::Tensor loss = Contrast(logits, at::eye(4, at::kDouble), truth);
  EXPECT_EQ(logits.grad()[0].abs().max().item<double>(), 0);
  EXPECT_GT(logits.grad()[1].abs().max().item<double>(), 0);
  EXPECT_TRUE(std::isfinite(loss.item<double>()));
}

// Both directions of the fine loss by its definition, on the whole matrix.
TEST(Fine, EqualsTheWholeTruthMatrix) {
  const std::int64_t rows = 700, texts = 530, d = 8;
  FineInputs in;
  in.regions = L2Normalise(at::randn({rows, d}, at::kDouble)).requires_grad_(true);
  in.texts = L2Normalise(at::randn({texts, d}, at::kDouble)).requires_grad_(true);
  in.scale = at::scalar_tensor(9, at::kDouble);
  in.own_text = at::randint(0, texts, {rows}, at::kLong);
  in.own_truth = at::randint(0, 2, {rows}, at::kLong).to(at::kChar);
  in.anatomy = at::randint(0, 29, {rows}, at::kLong).to(at::kChar);
  in.abnormal = at::randint(-1, 2, {rows}, at::kLong).to(at::kChar);
  in.labels = at::randint(-1, 2, {rows, 3}, at::kLong).to(at::kChar);
  in.signatures =
      at::stack({at::arange(texts), at::randint(0, 29, {texts}, at::kLong),
                 at::randint(-2, 3, {texts}, at::kLong), at::randint(0, 2, {texts}, at::kLong)},
                1);
  in.family = at::zeros({29, 29}, at::kBool);
  in.family[0][1].fill_(true);
  const at::Tensor truth = TruthMatrix(in, in.signatures);
  const at::Tensor logits =
      (in.scale * at::matmul(in.regions, in.texts.t())).masked_fill(truth.lt(0), -1e9);
  at::Tensor expected = at::zeros({}, at::kDouble);
  for (const int dim : {0, 1}) {
    const at::Tensor positive = truth.eq(1).to(at::kDouble), count = positive.sum(dim);
    const at::Tensor line = -(positive * logits.log_softmax(dim)).sum(dim) / count.clamp_min(1);
    expected = expected + line.sum() / count.gt(0).sum() / 2;
  }
  const auto gradients = torch::autograd::grad({expected}, {in.regions, in.texts});
  dist::RunLocalRanks(1, [&](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    const at::Tensor loss =
        FineLoss(*comm, in, {{1}, {rows}, {texts}, 0, 0}, dist::Contrast::kHybrid);
    loss.backward();
    EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-11);
  });
  EXPECT_LE((in.regions.grad() - gradients[0]).abs().max().item<double>(), 1e-12);
  EXPECT_LE((in.texts.grad() - gradients[1]).abs().max().item<double>(), 1e-12);
}

TEST(ImageLabels, ZeroLogitsCostLn2AndUnknownIsLeftOut) {
  const at::Tensor labels = at::tensor({1, 0, -1, -1}, at::kInt).to(at::kChar).view({2, 2});
  const at::Tensor loss = ImageLabelLoss(at::zeros({2, 2}, at::kDouble), labels, 2);
  EXPECT_NEAR(loss.item<double>(), std::log(2.0), 1e-12);
}

// Regions 0 (right lung) and 1 (its upper zone) are parent and child; 24 is the heart.
FineInputs Rows() {
  FineInputs rows;
  rows.family = at::zeros({29, 29}, at::kBool);
  rows.family[0][1].fill_(true);
  rows.family[1][0].fill_(true);
  rows.anatomy = at::tensor({0, 1, 24}, at::kInt).to(at::kChar);
  rows.abnormal = at::tensor({1, 0, -1}, at::kInt).to(at::kChar);
  rows.labels = at::tensor({1, 0, /**/ 0, -1, /**/ -1, -1}, at::kInt).to(at::kChar).view({3, 2});
  rows.own_text = at::tensor({100, 101, 102}, at::kLong);
  rows.own_truth = at::tensor({1, 0, 1}, at::kInt).to(at::kChar);
  return rows;
}

TEST(Truth, EntailedContradictedIgnored) {
  // columns: hash, region, finding, polarity
  const at::Tensor signatures = at::tensor({100, 0,  0,  1,   // own text of row 0
                                            103, 0,  0,  0,   // "no finding 0 in region 0"
                                            104, 0,  -1, 0,   // "region 0 is normal"
                                            105, 1,  0,  0,   // "no finding 0 in region 1"
                                            101, 1,  0,  1,   // own text of row 1, said to be false
                                            106, 0,  -2, 0,   // free text about region 0
                                            107, 24, 1,  1},  // finding 1 in the heart
                                           at::kLong)
                                    .view({7, 4});
  const at::Tensor truth = TruthMatrix(Rows(), signatures);
  const std::vector<std::vector<int>> expected = {
      {1, 0, 0, 0, -1, -1,
       0},  // region 0: row says finding 0 present; child texts that agree: ignored
      {0, -1, -1, 1, 0, -1,
       0},  // region 1: finding 0 absent; parent texts: contradicted 0, else ignored
      {0, 0, 0, 0, 0, 0, -1}};  // heart without labels: only its own region's texts are undecided
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 7; ++c)
      EXPECT_EQ(truth[r][c].item<int>(), expected[r][c]) << "row " << r << ", text " << c;
}

TEST(TextEncoder, LengthsOfNeighboursDoNotMatter) {
  Initialiser init(3);
  TextEncoder encoder(init, {60, 16, 2, 2, 32, 24, "mean", false}, 8);
  encoder.to(at::kDouble);
  at::Tensor ids = at::randint(1, 60, {40, 24}, at::kLong);
  for (std::int64_t i = 0; i < 40; ++i) ids[i].slice(0, 1 + i * 7 % 24).zero_();
  const at::Tensor together = encoder.Forward(ids);
  for (std::int64_t i = 0; i < 40; ++i) {
    const at::Tensor alone = encoder.Forward(ids.slice(0, i, i + 1).slice(1, 0, 1 + i * 7 % 24));
    EXPECT_LE((alone[0] - together[i]).abs().max().item<double>(), 1e-12) << "text " << i;
  }
  EXPECT_EQ(encoder.Forward(ids.slice(0, 0, 0)).sizes(), (std::vector<std::int64_t>{0, 8}));
}

}  // namespace
}  // namespace vesalius::model
