// The model's tables apart from training: sentence vectors are the encoder's, each text is encoded
// once over all ranks; the knowledge attention against a naive one.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <atomic>

#include "dist/bootstrap.h"
#include "model/knowledge.h"
#include "model/sentence_table.h"

namespace vesalius::model {
namespace {

TextConfig SmallText() { return {50, 32, 1, 2, 64, 16, "mean", true, true}; }

// Text k: k % 6 + 2 tokens.
std::vector<std::int64_t> TokensOf(std::int64_t k) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < k % 6 + 2; ++i) ids.push_back(1 + (k * 7 + i * 3) % 49);
  return ids;
}

at::Tensor Padded(std::int64_t begin, std::int64_t end) {
  at::Tensor ids = at::zeros({end - begin, 8}, at::kLong);
  for (std::int64_t k = begin; k < end; ++k) {
    const auto tokens = TokensOf(k);
    for (std::size_t i = 0; i < tokens.size(); ++i)
      ids[k - begin][static_cast<std::int64_t>(i)] = tokens[i];
  }
  return ids;
}

constexpr std::int64_t kTexts = 23;
std::int64_t KeyOf(std::int64_t k) { return (k - 11) * 1000003; }  // some negative

at::Tensor Keys(std::int64_t begin, std::int64_t end) {
  return at::arange(begin - 11, end - 11, at::kLong) * 1000003;
}

TEST(SentenceTable, IsTheEncoderEachTextOnce) {
  for (const int ranks : {1, 2, 3})
    for (const auto strategy : {dist::TableStrategy::kReplicated, dist::TableStrategy::kRows,
                                dist::TableStrategy::kColumns}) {
      std::atomic<std::int64_t> encoded{0};
      dist::RunLocalRanks(ranks, [&](dist::Bootstrap& bootstrap) {
        const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
        Initialiser init(3);
        TextEncoder encoder(init, SmallText(), 16);
        encoder.to(at::kDouble);
        // Texts of a rank overlap with its neighbours'; the last rank of three knows none.
        SentenceTable::Texts texts;
        for (std::int64_t k = 0; k < kTexts; ++k)
          if (comm->rank() < 2 && (ranks == 1 || k % 3 != comm->rank()))
            texts[KeyOf(k)] = TokensOf(k);
        dist::TableOptions options;
        options.name = "sentences";
        options.strategy = strategy;
        options.float64 = true;
        SentenceTable table(*comm, encoder, texts, options, at::kCPU);
        EXPECT_EQ(table.rows(), kTexts);
        encoded += table.encoded_here();
        const std::int64_t begin = 2 * comm->rank();
        const at::Tensor ids = Padded(begin, kTexts + 3);  // three are not in the table
        const at::Tensor found = table.Pooled(Keys(begin, kTexts + 3), ids, encoder);
        EXPECT_FALSE(found.requires_grad());
        EXPECT_EQ(table.missed(), 3);
        EXPECT_TRUE(at::allclose(found, encoder.Pooled(ids).detach(), 0, 1e-12));
        EXPECT_EQ(table.Pooled(Keys(0, 0), Padded(0, 0), encoder).sizes(),
                  (std::vector<std::int64_t>{0, 32}));
      });
      EXPECT_EQ(encoded, kTexts) << ranks << " ranks, " << Name(strategy);
    }
}

TEST(SentenceTable, MayBeEmpty) {
  dist::RunLocalRanks(2, [&](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    Initialiser init(3);
    const TextEncoder encoder(init, SmallText(), 16);
    SentenceTable table(*comm, encoder, {}, {.name = "none"}, at::kCPU);
    const at::Tensor ids = Padded(0, 2);
    EXPECT_TRUE(at::allclose(table.Pooled(Keys(0, 2), ids, encoder), encoder.Pooled(ids)));
  });
}

TEST(ReportKeys, AreASpaceOfTheirOwn) {
  const at::Tensor keys = ReportKeys(at::arange(0, 3, at::kLong));
  EXPECT_EQ(keys[2].item<std::int64_t>(), ReportKey(2));
  EXPECT_NE(ReportKey(2), 2);
}

// For each region by itself and each head by itself, over the valid rows only.
TEST(KnowledgeAttention, IsAttentionOverTheValidRows) {
  Initialiser init(5);
  KnowledgeAttention module(init, 8, 6, 2);
  module.to(at::kDouble);
  const at::Tensor regions = at::randn({2, 3, 8}, at::kDouble);
  const at::Tensor rows = at::randn({2, 3, 4, 6}, at::kDouble);
  const at::Tensor valid = at::ones({2, 3, 4}, at::kBool);
  valid[0][1].slice(0, 1).fill_(false);
  EXPECT_TRUE(at::equal(module.Forward(regions, rows, valid), regions)) << "the gate starts open";

  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> p;
  for (const auto& item : module.named_parameters()) p[item.key()] = item.value();
  p.at("gate").fill_(0.7);
  const auto linear = [&](const std::string& name, const at::Tensor& x) {
    return at::linear(x, p.at(name + ".weight"), p.at(name + ".bias"));
  };
  at::Tensor expected = regions.clone();
  for (int n = 0; n < 2; ++n)
    for (int m = 0; m < 3; ++m) {
      const at::Tensor from = at::layer_norm(rows[n][m].index({valid[n][m]}), {6}, {}, {}, 1e-6);
      const at::Tensor q = linear("query", at::layer_norm(regions[n][m], {8}, {}, {}, 1e-6));
      const at::Tensor k = linear("key", from), v = linear("value", from);
      std::vector<at::Tensor> heads;
      for (int h = 0; h < 2; ++h) {
        const auto part = [&](const at::Tensor& x) { return x.slice(-1, 4 * h, 4 * h + 4); };
        const at::Tensor weight = (at::matmul(part(k), part(q)) / 2.0).softmax(0);
        heads.push_back(at::matmul(weight, part(v)));
      }
      expected[n][m] += std::tanh(0.7) * linear("out", at::cat(heads));
    }
  EXPECT_TRUE(at::allclose(module.Forward(regions, rows, valid), expected, 0, 1e-12));
  // One set of rows for all images, as in inference.
  EXPECT_TRUE(at::allclose(module.Forward(regions, rows.slice(0, 0, 1), valid.slice(0, 0, 1))[0],
                           expected[0], 0, 1e-12));
  EXPECT_EQ(
      module.Forward(regions.slice(0, 0, 0), rows.slice(0, 0, 0), valid.slice(0, 0, 0)).size(0), 0);

  const at::Tensor vectors = at::randn({2, 3, 5}, at::kDouble);
  const at::Tensor concepts = at::randn({3, 4, 5}, at::kDouble);
  const at::Tensor logits = module.Logits(vectors, concepts);
  // The scale is kept as the logarithm of 10 in float32.
  const at::Tensor all = 10 * (vectors.unsqueeze(2) * concepts.unsqueeze(0)).sum(-1) - 1;
  EXPECT_EQ(logits.sizes(), all.sizes());
  EXPECT_TRUE(at::allclose(logits, all, 1e-6, 1e-6)) << (logits - all).abs().max();
}

}  // namespace
}  // namespace vesalius::model
