// `vesalius export`: a checkpoint as safetensors and JSON that timm and transformers load.
//
// The vision tower is a timm VisionTransformer whose 29 anatomy queries are its register tokens
// (reg_tokens=29: order CLS, registers, patches; attention does not depend on order). The text
// tower is a Hugging Face BertModel without pooler.
#include "trainer/export.h"

#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "checkpoints/reader.h"
#include "checkpoints/tensor_export.h"
#include "data/record.h"
#include "trainer/model_setup.h"
#include "trainer/tables.h"

namespace vesalius::trainer {
namespace {

using checkpoints::Box;
using checkpoints::ExportTensor;
using Shapes = std::map<std::string, std::vector<std::int64_t>>;  // of the stored parameters
using Tensors = std::vector<ExportTensor>;

bool TakePrefix(const std::string& prefix, std::string* name) {
  if (name->rfind(prefix, 0) != 0) return false;
  name->erase(0, prefix.size());
  return true;
}

ExportTensor WholeOf(const std::string& name, const std::string& stored,
                     const std::vector<std::int64_t>& shape) {
  return {name, shape, {{stored, checkpoints::Whole(shape)}}};
}

// Rows [begin, end) of dimension `d` of a stored parameter.
ExportTensor::Part RowsOf(const std::string& stored, const std::vector<std::int64_t>& shape,
                          std::size_t d, std::int64_t begin, std::int64_t end) {
  Box box = checkpoints::Whole(shape);
  box.offset[d] = begin;
  box.extent[d] = end - begin;
  return {stored, box};
}

// Positions of CLS, registers and patches, joined: the class token is the first of `pos_embed`.
ExportTensor JoinedPositions(const Shapes& shapes) {
  const std::vector<std::int64_t>& own = shapes.at("vision.pos_embed");
  const std::vector<std::int64_t>& anatomy = shapes.at("vision.anatomy_pos");
  ExportTensor out{"pos_embed", own, {}};
  out.shape[1] += anatomy[1];
  out.parts = {RowsOf("vision.pos_embed", own, 1, 0, 1),
               {"vision.anatomy_pos", checkpoints::Whole(anatomy)},
               RowsOf("vision.pos_embed", own, 1, 1, own[1])};
  return out;
}

// timm's names.
Tensors TimmVision(const Shapes& shapes) {
  Tensors out;
  for (const auto& [full, shape] : shapes) {
    std::string name = full;
    if (!TakePrefix("vision.", &name) || name == "anatomy_pos") continue;
    if (name == "pos_embed")
      out.push_back(JoinedPositions(shapes));
    else
      out.push_back(WholeOf(name == "anatomy_tokens" ? "reg_token" : name, full, shape));
  }
  return out;
}

// Hugging Face's names; q, k and v apart.
Tensors HuggingFaceText(const Shapes& shapes) {
  const std::map<std::string, std::string> kParts = {{"attn.proj", "attention.output.dense"},
                                                     {"norm1", "attention.output.LayerNorm"},
                                                     {"mlp.fc1", "intermediate.dense"},
                                                     {"mlp.fc2", "output.dense"},
                                                     {"norm2", "output.LayerNorm"}};
  Tensors out;
  for (const auto& [full, shape] : shapes) {
    std::string name = full;
    if (!TakePrefix("text.", &name)) continue;
    if (TakePrefix("embeddings.norm.", &name)) {
      out.push_back(WholeOf("embeddings.LayerNorm." + name, full, shape));
    } else if (TakePrefix("embeddings.", &name)) {
      out.push_back(WholeOf("embeddings." + name + ".weight", full, shape));
    } else if (TakePrefix("layers.", &name)) {
      const std::size_t dot = name.find('.'), last = name.rfind('.');
      const std::string layer = "encoder.layer." + name.substr(0, dot) + ".";
      const std::string part = name.substr(dot + 1, last - dot - 1), kind = name.substr(last);
      if (part == "attn.qkv") {
        const char* const kNames[] = {"query", "key", "value"};
        std::vector<std::int64_t> third = shape;
        third[0] /= 3;
        for (int i = 0; i < 3; ++i)
          out.push_back({layer + "attention.self." + kNames[i] + kind,
                         third,
                         {RowsOf(full, shape, 0, i * third[0], (i + 1) * third[0])}});
      } else {
        out.push_back(WholeOf(layer + kParts.at(part) + kind, full, shape));
      }
    }
  }
  return out;
}

// The rows of every region's concepts; zeros where it has fewer.
ExportTensor KnowledgeRows(const checkpoints::Reader& reader, const Config& config) {
  const data::ConceptGraph graph = ConceptsOf(reader);
  const std::int64_t width = config.model.text.width;
  ExportTensor out{"knowledge.region_rows", {data::kRegions, graph.each, width}, {}};
  for (const std::int64_t row : graph.of_region) {
    if (row < 0)
      out.parts.push_back({"", {{0, 0}, {1, width}}});
    else
      out.parts.push_back({kKnowledgeTable, {{row, 0}, {1, width}}});
  }
  return out;
}

nlohmann::json TimmConfig(const model::VisionConfig& v) {
  return {{"architecture", "timm.models.vision_transformer.VisionTransformer"},
          {"args",
           {{"img_size", v.image_size},
            {"patch_size", v.patch_size},
            {"in_chans", v.channels},
            {"embed_dim", v.width},
            {"depth", v.depth},
            {"num_heads", v.heads},
            {"mlp_ratio", static_cast<double>(v.mlp) / v.width},
            {"reg_tokens", data::kRegions},
            {"num_classes", 0}}}};
}

nlohmann::json BertConfig(const model::TextConfig& t) {
  return {{"architectures", {"BertModel"}},
          {"model_type", "bert"},
          {"vocab_size", t.vocabulary},
          {"hidden_size", t.width},
          {"num_hidden_layers", t.depth},
          {"num_attention_heads", t.heads},
          {"intermediate_size", t.mlp},
          {"max_position_embeddings", t.positions},
          {"type_vocab_size", 2},
          {"hidden_act", "gelu"},
          {"layer_norm_eps", 1e-12},
          {"hidden_dropout_prob", 0.0},
          {"attention_probs_dropout_prob", 0.0},
          {"pad_token_id", 0}};
}

nlohmann::json ModelConfigJson(const Config& config, const ModelVocabulary& vocabulary,
                               const model::TextConfig& text, std::int64_t step) {
  nlohmann::json regions = nlohmann::json::array();
  for (const char* name : data::kRegionNames) regions.push_back(name);
  return {{"model", "anatomy-vlm"},
          {"step", step},
          {"embed_dim", config.model.embed_dim},
          {"pooling", config.model.text.pooling},
          {"image_mean", config.data.mean},
          {"image_std", config.data.std},
          {"image_labels", vocabulary.image_labels},
          {"regions", regions},
          {"vision", TimmConfig(config.model.vision)},
          {"text", BertConfig(text)},
          {"config", config.text}};
}

}  // namespace

void Export(const ExportOptions& options) {
  std::vector<std::string> skipped;
  const std::string named = WithoutSlash(options.checkpoint);
  const std::string folder = checkpoints::ResolveStep(named, &skipped);
  for (const std::string& reason : skipped) log::Warning("passed over ", reason);
  const checkpoints::Reader reader(folder);
  // Of a run folder the newest good step was chosen; a step that was named is verified here, before
  // anything is written.
  if (folder == named) reader.Verify();
  const Config config = ParseConfig(reader.info().config_text);
  const auto words = reader.info().blobs.find("vocabulary");
  Require(words != reader.info().blobs.end(), ExitCode::kInvalidData, folder,
          " holds no vocabulary");
  const ModelVocabulary vocabulary = ParseVocabulary(words->second);
  model::TextConfig text_config = config.model.text;
  text_config.vocabulary = static_cast<std::int64_t>(vocabulary.wordpieces.size());

  Shapes shapes;
  for (const checkpoints::TensorMeta& meta : reader.tensors())
    if (meta.role == checkpoints::Role::kParameter && meta.name != kKnowledgeTable)
      shapes[meta.name] = meta.shape;
  const Tensors vision = TimmVision(shapes), text = HuggingFaceText(shapes);
  Tensors all;
  const auto add = [&](const std::string& prefix, const Tensors& tensors) {
    for (ExportTensor tensor : tensors) {
      tensor.name = prefix + tensor.name;
      all.push_back(std::move(tensor));
    }
  };
  add("vision.", vision);
  add("text.", text);
  for (const auto& [name, shape] : shapes) {
    const bool tower = name.rfind("vision.", 0) == 0 || name.rfind("text.", 0) == 0;
    if (!tower || name.rfind("text.projection.", 0) == 0) all.push_back(WholeOf(name, name, shape));
  }
  if (config.model.knowledge.enabled) all.push_back(KnowledgeRows(reader, config));
  const std::string& out = options.out;
  const checkpoints::ExportOptions how = {options.bfloat16, options.max_shard_bytes};
  checkpoints::ExportTensors(reader, vision, out, "vision", how);
  checkpoints::ExportTensors(reader, text, out + "/text", "model", how);
  checkpoints::ExportTensors(reader, all, out, "model", how);
  WriteFileAtomic(out + "/vision.json", TimmConfig(config.model.vision).dump(2) + "\n");
  WriteFileAtomic(out + "/text/config.json", BertConfig(text_config).dump(2) + "\n");
  WriteFileAtomic(out + "/text/vocab.txt", Join(vocabulary.wordpieces, "\n") + "\n");
  WriteFileAtomic(
      out + "/text/tokenizer_config.json",
      nlohmann::json{{"tokenizer_class", "BertTokenizer"}, {"do_lower_case", true}}.dump(2) + "\n");
  WriteFileAtomic(
      out + "/config.json",
      ModelConfigJson(config, vocabulary, text_config, reader.info().step).dump(2) + "\n");
  log::Info("exported step ", reader.info().step, " of ", folder, " to ", out);
}

}  // namespace vesalius::trainer
