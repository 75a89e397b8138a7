// Parity with values and gradients that PyTorch, torchvision and scikit-learn computed in float64.
// Tolerance: 1e-10 relative to the largest value (float64 throughout), unless said.
#include <gtest/gtest.h>

#include "dist/bootstrap.h"
#include "model/layers.h"
#include "model/losses.h"
#include "model/vision.h"
#include "ops/box.h"
#include "tests/util/shared_data.h"
#include "trainer/adamw.h"

namespace vesalius::model {
namespace {

constexpr double kTolerance = 1e-10;

at::Tensor Tensor(const nlohmann::json& values, at::IntArrayRef shape) {
  return at::tensor(values.get<std::vector<double>>(), at::kDouble).view(shape).clone();
}

at::Tensor Leaf(const nlohmann::json& values, at::IntArrayRef shape) {
  return Tensor(values, shape).requires_grad_(true);
}

void ExpectClose(const at::Tensor& ours, const nlohmann::json& theirs, const char* what) {
  const at::Tensor reference = Tensor(theirs, ours.sizes());
  const double scale = std::max(1e-12, reference.abs().max().item<double>());
  EXPECT_LE((ours - reference).abs().max().item<double>(), kTolerance * scale) << what;
}

nlohmann::json Cases(const char* file) {
  const auto cases = ReadJson(SharedData(std::string("data/gold_torch/") + file))["cases"];
  EXPECT_FALSE(cases.empty()) << file;
  return cases;
}

TEST(Gold, ImageReportContrastIsClipLoss) {
  VESALIUS_NEEDS_SHARED("data/gold_torch/clip_loss.json");
  dist::RunLocalRanks(1, [](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    for (const auto& c : Cases("clip_loss.json")) {
      const std::int64_t b = c["B"], d = c["D"];
      const at::Tensor image = Leaf(c["image"], {b, d}), text = Leaf(c["text"], {b, d});
      const at::Tensor log_scale =
          at::scalar_tensor(c["log_scale"].get<double>(), at::kDouble).requires_grad_(true);
      const at::Tensor loss =
          PairLoss(*comm, L2Normalise(image), L2Normalise(text), at::arange(b), log_scale.exp(),
                   at::Tensor(), {b}, dist::KeyPositives::Extra::kShare, {})
              .loss;
      loss.backward();
      EXPECT_NEAR(loss.item<double>(), c["loss"].get<double>(), kTolerance * 10);
      ExpectClose(image.grad(), c["grad_image"], "image");
      ExpectClose(text.grad(), c["grad_text"], "text");
      EXPECT_NEAR(log_scale.grad().item<double>(), c["grad_log_scale"].get<double>(), 1e-9);
    }
  });
}

TEST(Gold, RegionContrastPerAnatomy) {
  VESALIUS_NEEDS_SHARED("data/gold_torch/region_contrast.json");
  const auto c = Cases("region_contrast.json")[0];
  const std::int64_t b = c["B"], regions = c["R"], d = c["D"];
  const at::Tensor visual = Leaf(c["visual"], {b, regions, d}),
                   text = Leaf(c["text"], {b, regions, d});
  const at::Tensor mask = Tensor(c["mask"], {b, regions}).ne(0);
  at::Tensor sum = at::zeros({}, at::kDouble);
  std::int64_t kept = 0;
  const double kept_in_all = c["kept"];
  for (std::int64_t r = 0; r < regions; ++r) {
    const at::Tensor index = mask.select(1, r).nonzero().squeeze(1);
    if (index.size(0) < 2) continue;
    const at::Tensor v = L2Normalise(visual.select(1, r).index_select(0, index));
    const at::Tensor t = L2Normalise(text.select(1, r).index_select(0, index));
    dist::RunLocalRanks(1, [&](dist::Bootstrap& bootstrap) {
      const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
      const at::Tensor mean =
          dist::RingLoss(*comm, "loss", v, t, at::scalar_tensor(1 / 0.07, at::kDouble), {},
                         {index.size(0)}, std::make_shared<dist::KeyPositives>(0), {})
              .loss;
      (mean * index.size(0) / kept_in_all).backward();
      sum = sum + mean.detach() * index.size(0);
    });
    kept += index.size(0);
  }
  ASSERT_EQ(kept, c["kept"].get<std::int64_t>());
  const at::Tensor loss = sum / kept;
  EXPECT_NEAR(loss.item<double>(), c["loss"].get<double>(), 1e-10);
  ExpectClose(visual.grad(), c["grad_visual"], "visual");
  ExpectClose(text.grad(), c["grad_text"], "text");
}

TEST(Gold, Boxes) {
  VESALIUS_NEEDS_SHARED("data/gold_torch/boxes.json");
  for (const auto& c : Cases("boxes.json")) {
    const std::int64_t n = c["n"], m = c["m"];
    const at::Tensor a = Leaf(c["a_xyxy"], {n, 4}), b = Tensor(c["b_xyxy"], {m, 4});
    const auto [iou, giou] =
        ops::IouGiou(a.unsqueeze(1).expand({n, m, 4}), b.unsqueeze(0).expand({n, m, 4}));
    // Our guard of 1e-7 in the denominators shows at that level.
    EXPECT_LE((iou - Tensor(c["iou"], {n, m})).abs().max().item<double>(), 1e-5);
    EXPECT_LE((giou - Tensor(c["giou"], {n, m})).abs().max().item<double>(), 1e-5);
    giou.sum().backward();
    const at::Tensor reference = Tensor(c["grad_a_of_sum_giou"], {n, 4});
    EXPECT_LE((a.grad() - reference).abs().max().item<double>(),
              1e-4 * reference.abs().max().item<double>());
  }
}

TEST(Gold, TransformerBlock) {
  VESALIUS_NEEDS_SHARED("data/gold_torch/transformer_block.json");
  const auto c = Cases("transformer_block.json")[0];
  const std::int64_t b = c["B"], s = c["S"], d = c["D"], heads = c["heads"];
  const auto& params = c["params"];
  Initialiser init(1);
  const std::int64_t hidden = static_cast<std::int64_t>(params["b1"]["v"].size());
  Block block(init, d, heads, hidden, 1e-5, Block::Order::kPreNorm);
  block.to(at::kDouble);
  const std::map<std::string, std::string> names = {
      {"norm1.weight", "ln1_w"}, {"norm1.bias", "ln1_b"},    {"attn.qkv.weight", "wqkv"},
      {"attn.qkv.bias", "bqkv"}, {"attn.proj.weight", "wo"}, {"attn.proj.bias", "bo"},
      {"norm2.weight", "ln2_w"}, {"norm2.bias", "ln2_b"},    {"mlp.fc1.weight", "w1"},
      {"mlp.fc1.bias", "b1"},    {"mlp.fc2.weight", "w2"},   {"mlp.fc2.bias", "b2"}};
  {
    const at::NoGradGuard no_grad;
    for (auto& item : block.named_parameters())
      item.value().copy_(Tensor(params[names.at(item.key())]["v"], item.value().sizes()));
  }
  const at::Tensor x = Leaf(c["x"], {b, s, d});
  const at::Tensor mask = Tensor(c["mask"], {b, s}).ne(0);
  const at::Tensor y = block.Forward(x, {{}, mask});
  ExpectClose(y.detach(), c["out"], "out");
  y.backward(Tensor(c["grad_out"], {b, s, d}));
  ExpectClose(x.grad(), c["grad_x"], "x");
  for (auto& item : block.named_parameters())
    ExpectClose(item.value().grad(), params[names.at(item.key())]["grad"], item.key().c_str());
}

TEST(Gold, PatchEmbed) {
  VESALIUS_NEEDS_SHARED("data/gold_torch/patch_embed.json");
  const auto c = Cases("patch_embed.json")[0];
  Initialiser init(1);
  PatchEmbed embed(init, 3, 4, 5);
  embed.to(at::kDouble);
  auto parameters = embed.named_parameters();
  {
    const at::NoGradGuard no_grad;
    parameters["proj.weight"].copy_(Tensor(c["w"], {5, 3, 4, 4}));
    parameters["proj.bias"].copy_(Tensor(c["b"], {5}));
  }
  const at::Tensor x = Leaf(c["x"], {2, 3, 16, 16});
  // Theirs is [n, D, 4, 4]; ours [n, 16, D].
  const at::Tensor y = embed.Forward(x).transpose(1, 2).reshape({2, 5, 4, 4});
  ExpectClose(y.detach(), c["y"], "y");
  y.backward(Tensor(c["grad_y"], {2, 5, 4, 4}));
  ExpectClose(x.grad(), c["grad_x"], "x");
  ExpectClose(parameters["proj.weight"].grad(), c["grad_w"], "w");
  ExpectClose(parameters["proj.bias"].grad(), c["grad_b"], "b");
}

TEST(Gold, AdamWWithClipping) {
  VESALIUS_NEEDS_SHARED("data/gold_torch/adamw.json");
  for (const auto& c : Cases("adamw.json")) {
    at::Tensor p = Leaf(c["p0"], {static_cast<std::int64_t>(c["p0"].size())});
    at::Tensor q = Leaf(c["q0"], {static_cast<std::int64_t>(c["q0"].size())});
    p.mutable_grad() = at::zeros_like(p);
    q.mutable_grad() = at::zeros_like(q);
    trainer::AdamW optimiser({{"p", p, true}, {"q", q, false}},
                             {{0, 0, p.detach(), p.grad()}, {1, 0, q.detach(), q.grad()}},
                             {c["betas"][0], c["betas"][1], c["eps"], c["wd"]});
    const double clip = c["clip"];
    for (const auto& step : c["trace"]) {
      p.grad().copy_(Tensor(step["grad_p"], p.sizes()));
      q.grad().copy_(Tensor(step["grad_q"], q.sizes()));
      const at::Tensor norm = at::cat({p.grad(), q.grad()}).norm();
      EXPECT_NEAR(norm.item<double>(), step["grad_norm"].get<double>(),
                  1e-10 * norm.item<double>());
      optimiser.Step({true, true}, step["lr"], trainer::ClipScale(norm, clip));
      ExpectClose(p.detach(), step["p"], "p");
      ExpectClose(q.detach(), step["q"], "q");
    }
  }
}

}  // namespace
}  // namespace vesalius::model
