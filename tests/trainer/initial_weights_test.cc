// `--init`: hand-made files under timm's and Hugging Face's names give the model they were taken
// from, in every float type and channel number; what does not fit is refused with the key to set.
#include "trainer/initial_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "checkpoints/safetensors.h"
#include "tests/util/message_of.h"
#include "tests/util/temp_dir.h"

namespace vesalius::trainer {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Named = std::map<std::string, at::Tensor>;

const ModelVocabulary kWords{{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "nodule", "clear"},
                             {"a", "b"},
                             std::vector<int>(data::kRegions, -1)};

Config TinyConfig(std::vector<std::string> settings, int seed) {
  settings.push_back(StrCat("seed=", seed));
  return LoadConfig("tiny", "", settings);
}

Named Parameters(model::AnatomyVlm& model) {
  Named out;
  for (const auto& parameter : model.parameters()) out[parameter.name] = parameter.tensor.detach();
  return out;
}

// A model whose parameters are all far from their usual start (biases, norms).
std::unique_ptr<model::AnatomyVlm> SomeModel(const std::vector<std::string>& settings, int seed) {
  auto model = BuildModel(TinyConfig(settings, seed), kWords, at::kCPU);
  at::manual_seed(seed);
  for (auto& [name, tensor] : Parameters(*model)) tensor.add_(at::randn_like(tensor), 0.05);
  return model;
}

// The vision tower as a timm checkpoint without registers has it.
Named Timm(const Named& ours, const std::string& prefix = "") {
  Named out;
  for (const auto& [name, tensor] : ours)
    if (name.rfind("vision.", 0) == 0 && name.find("anatomy") == std::string::npos)
      out[prefix + name.substr(7)] = tensor;
  out[prefix + "head.weight"] = at::zeros({10, 64});
  return out;
}

// The text tower as a BERT checkpoint has it; `old` names LayerNorm's parts gamma and beta.
Named Bert(const Named& ours, const std::string& prefix, bool old, int depth) {
  Named out;
  const std::string weight = old ? "gamma" : "weight", bias = old ? "beta" : "bias";
  for (const char* table : {"word", "position", "token_type"})
    out[prefix + "embeddings." + table + "_embeddings.weight"] =
        ours.at(std::string("text.embeddings.") + table + "_embeddings");
  const auto norm = [&](const std::string& theirs, const std::string& mine) {
    out[prefix + theirs + "." + weight] = ours.at(mine + ".weight");
    out[prefix + theirs + "." + bias] = ours.at(mine + ".bias");
  };
  const auto linear = [&](const std::string& theirs, const std::string& mine) {
    out[prefix + theirs + ".weight"] = ours.at(mine + ".weight");
    out[prefix + theirs + ".bias"] = ours.at(mine + ".bias");
  };
  norm("embeddings.LayerNorm", "text.embeddings.norm");
  for (int i = 0; i < depth; ++i) {
    const std::string theirs = StrCat("encoder.layer.", i, "."),
                      mine = StrCat("text.layers.", i, ".");
    for (const char* kind : {"weight", "bias"}) {
      const auto thirds = ours.at(mine + "attn.qkv." + kind).chunk(3);
      out[prefix + theirs + "attention.self.query." + kind] = thirds[0];
      out[prefix + theirs + "attention.self.key." + kind] = thirds[1];
      out[prefix + theirs + "attention.self.value." + kind] = thirds[2];
    }
    linear(theirs + "attention.output.dense", mine + "attn.proj");
    linear(theirs + "intermediate.dense", mine + "mlp.fc1");
    linear(theirs + "output.dense", mine + "mlp.fc2");
    norm(theirs + "attention.output.LayerNorm", mine + "norm1");
    norm(theirs + "output.LayerNorm", mine + "norm2");
  }
  out[prefix + "pooler.dense.weight"] = at::ones({64, 64});
  out[prefix + "embeddings.position_ids"] = at::arange(160);
  return out;
}

void Write(const std::string& path, const Named& tensors, at::ScalarType type = at::kFloat) {
  const std::map<at::ScalarType, std::string> names = {
      {at::kFloat, "F32"}, {at::kHalf, "F16"}, {at::kBFloat16, "BF16"}, {at::kLong, "I64"}};
  std::vector<at::Tensor> keep;
  std::vector<checkpoints::SafeTensor> out;
  for (const auto& [name, tensor] : tensors) {
    keep.push_back((tensor.is_floating_point() ? tensor.to(type) : tensor).contiguous());
    out.push_back({name, names.at(keep.back().scalar_type()), keep.back().sizes().vec(),
                   keep.back().data_ptr(), keep.back().nbytes()});
  }
  checkpoints::WriteSafeTensors(path, out, {});
}

// A model of another seed that starts from the files.
std::unique_ptr<model::AnatomyVlm> Started(const std::vector<std::string>& files,
                                           const std::vector<std::string>& settings = {}) {
  const Config config = TinyConfig(settings, 9);
  auto model = BuildModel(config, kWords, at::kCPU);
  ApplyInitialWeights(ReadInitialWeights(files, config, kWords), model->parameters());
  return model;
}

at::Tensor SomeIds() { return at::tensor({2, 5, 6, 3, 2, 6, 3, 0}, at::kLong).view({2, 4}); }

double Difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

// The vision tower alone, so that fresh heads do not matter: anatomy queries are copied over.
at::Tensor VisionFeatures(model::AnatomyVlm& model, const Named& anatomy, const at::Tensor& image) {
  for (auto& [name, tensor] : Parameters(model))
    if (name.find("vision.anatomy") == 0 || name.rfind("global_head", 0) == 0)
      tensor.copy_(anatomy.at(name));
  return model.EncodeImages(image).global.detach();
}

class InitialWeightsTest : public testing::Test {
 protected:
  std::string file(const std::string& name) const { return dir_.path() + "/" + name; }
  std::string Refusal(const Named& tensors, const std::vector<std::string>& settings = {}) const {
    Write(file("refused.safetensors"), tensors);
    return MessageOf(ExitCode::kConfig, [&] { Started({file("refused.safetensors")}, settings); });
  }

  TempDir dir_;
  std::unique_ptr<model::AnatomyVlm> source_ = SomeModel({}, 3);
  Named source() const { return Parameters(*source_); }
};

TEST_F(InitialWeightsTest, TimmVision) {
  for (const char* prefix : {"", "model.visual."}) {
    Write(file("vit.safetensors"), Timm(source(), prefix));
    const auto model = Started({file("vit.safetensors")});
    const at::Tensor image = at::randn({2, 1, 64, 64});
    EXPECT_EQ(Difference(VisionFeatures(*model, source(), image),
                         source_->EncodeImages(image).global.detach()),
              0);
  }
}

TEST_F(InitialWeightsTest, BertTextUnderAllItsNames) {
  for (const bool old : {false, true}) {
    Named named = Bert(source(), old ? "bert." : "", old, 2);
    named["text.projection.weight"] = source().at("text.projection.weight");
    named["cls.predictions.bias"] = at::zeros({7});
    Write(file("bert.safetensors"), named);
    const auto model = Started({file("bert.safetensors")});
    EXPECT_EQ(Difference(model->EncodeTexts(SomeIds()), source_->EncodeTexts(SomeIds())), 0);
  }
}

TEST_F(InitialWeightsTest, HalfPrecisionsAreRead) {
  for (const auto& [type, tolerance] :
       std::map<at::ScalarType, double>{{at::kHalf, 1e-3}, {at::kBFloat16, 8e-3}}) {
    Write(file("vit.safetensors"), Timm(source()), type);
    const auto parameters = Parameters(*Started({file("vit.safetensors")}));
    for (const char* name : {"vision.blocks.1.mlp.fc2.weight", "vision.pos_embed"}) {
      const at::Tensor expected = source().at(name).to(type).to(at::kFloat);
      EXPECT_EQ(Difference(parameters.at(name), expected), 0) << name;
      EXPECT_LT(Difference(parameters.at(name), source().at(name)), tolerance) << name;
    }
  }
}

TEST_F(InitialWeightsTest, ColoursBecomeGreyAndBack) {
  const auto colour = SomeModel({"model.channels=3"}, 4);
  const at::Tensor grey = at::randn({2, 1, 64, 64}), three = grey.repeat({1, 3, 1, 1});
  Write(file("colour.safetensors"), Timm(Parameters(*colour)));
  const auto from_colour = Started({file("colour.safetensors")});
  EXPECT_LT(Difference(VisionFeatures(*from_colour, Parameters(*colour), grey),
                       colour->EncodeImages(three).global),
            2e-6);
  Write(file("grey.safetensors"), Timm(source()));
  const auto from_grey = Started({file("grey.safetensors")}, {"model.channels=3"});
  EXPECT_LT(
      Difference(VisionFeatures(*from_grey, source(), three), source_->EncodeImages(grey).global),
      2e-6);
}

// A plane over the grid stays that plane on a finer grid (away from the border, where bicubic
// interpolation repeats the edge); the position of CLS is kept.
TEST_F(InitialWeightsTest, PositionsAreResized) {
  Named named = Timm(source());
  const std::int64_t from = 4, to = 8;
  const at::Tensor row = at::arange(from).view({from, 1}).expand({from, from}).reshape({1, -1, 1});
  named["pos_embed"] =
      at::cat({at::full({1, 1, 64}, 7.0), row.expand({1, from * from, 64}).to(at::kFloat)}, 1);
  Write(file("vit.safetensors"), named);
  const auto model = Started({file("vit.safetensors")}, {"model.image_size=128"});
  const at::Tensor got = Parameters(*model).at("vision.pos_embed");
  ASSERT_EQ(got.sizes(), at::IntArrayRef({1, 1 + to * to, 64}));
  EXPECT_EQ(got[0][0][5].item<float>(), 7);
  EXPECT_NEAR(got[0][1 + 3 * to + 2][9].item<float>(), (3 + 0.5) / 2 - 0.5, 0.05);
  EXPECT_NEAR(got[0][1 + 4 * to + 7][9].item<float>(), (4 + 0.5) / 2 - 0.5, 0.05);
}

TEST_F(InitialWeightsTest, TowersWithoutAPlaceForClsInTheirPositions) {
  Named named = Timm(source());
  named["pos_embed"] = named["pos_embed"].slice(1, 1);
  Write(file("vit.safetensors"), named);
  const at::Tensor got = Parameters(*Started({file("vit.safetensors")})).at("vision.pos_embed");
  EXPECT_EQ(got.slice(1, 0, 1).abs().sum().item<float>(), 0);
  EXPECT_EQ(Difference(got.slice(1, 1), source().at("vision.pos_embed").slice(1, 1)), 0);
}

TEST_F(InitialWeightsTest, TheSummaryTellsWhatWasDone) {
  Write(file("vit.safetensors"), Timm(source()));
  const auto weights = ReadInitialWeights({file("vit.safetensors")}, TinyConfig({}, 9), kWords);
  ASSERT_EQ(weights.summary.size(), 2u);
  EXPECT_THAT(weights.summary[0],
              AllOf(HasSubstr("vision"), HasSubstr("30 tensors"), HasSubstr("head.weight")));
  EXPECT_THAT(weights.summary[1], HasSubstr("random start"));
}

TEST_F(InitialWeightsTest, SizesThatDifferNameAllKeys) {
  const std::string vision = Refusal(
      Timm(source()), {"model.width=32", "model.mlp=96", "model.depth=1", "model.patch_size=8"});
  EXPECT_THAT(vision, AllOf(HasSubstr("model.width=64 (tensor 'patch_embed.proj.weight' is "
                                      "[64, 1, 16, 16], the model's [32, 1, 8, 8])"),
                            HasSubstr("model.mlp=128"), HasSubstr("model.depth=2"),
                            HasSubstr("model.patch_size=16")));
  const std::string text =
      Refusal(Bert(source(), "", false, 2), {"model.text.width=32", "model.text.positions=170"});
  EXPECT_THAT(text, AllOf(HasSubstr("model.text.width=64"), HasSubstr("model.text.positions=160")));
}

TEST_F(InitialWeightsTest, WordsMustBeThoseOfTheVocabulary) {
  Named named = Bert(source(), "", false, 2);
  named["embeddings.word_embeddings.weight"] = at::zeros({30522, 64});
  EXPECT_THAT(Refusal(named), AllOf(HasSubstr("data.vocab"), HasSubstr("30522"),
                                    HasSubstr("the vocabulary of this run 7")));
}

TEST_F(InitialWeightsTest, HeadsAreReadFromTheConfigBesideIt) {
  WriteFileAtomic(file("config.json"), R"({"num_attention_heads": 4})");
  EXPECT_THAT(Refusal(Bert(source(), "", false, 2)), HasSubstr("model.text.heads=4"));
}

TEST_F(InitialWeightsTest, PartsAndOtherKindsAreRefused) {
  Named named = Bert(source(), "", false, 2);
  named.erase("encoder.layer.1.output.dense.bias");
  EXPECT_THAT(Refusal(named), HasSubstr("text.layers.1.mlp.fc2.bias"));
  named = Timm(source());
  named["blocks.0.ls1.gamma"] = at::ones({64});
  EXPECT_THAT(Refusal(named), HasSubstr("blocks.0.ls1.gamma"));
  named = Timm(source());
  named["pos_embed"] = at::zeros({1, 14, 64});
  EXPECT_THAT(Refusal(named), HasSubstr("14 positions"));
  EXPECT_THAT(Refusal({{"conv1.weight", at::zeros({4})}}),
              HasSubstr("no weights that --init knows"));
  named = Timm(source());
  named["other.patch_embed.proj.weight"] = at::zeros({4});
  EXPECT_THAT(Refusal(named), HasSubstr("more than one"));
  named = Timm(source());
  named["blocks.1.norm1.weight"] = at::zeros({63});
  EXPECT_THAT(Refusal(named),
              AllOf(HasSubstr("blocks.1.norm1.weight"), HasSubstr("[63]"), HasSubstr("[64]")));
  named = Timm(source());
  named["pos_embed"] = at::zeros({1});
  EXPECT_THAT(Refusal(named), HasSubstr("is not [1, tokens, width]"));
}

}  // namespace
}  // namespace vesalius::trainer
