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
#include "data/record.h"
#include "trainer/model_setup.h"

namespace vesalius::trainer {
namespace {

using Tensors = std::vector<std::pair<std::string, at::Tensor>>;

bool TakePrefix(const std::string& prefix, std::string* name) {
  if (name->rfind(prefix, 0) != 0) return false;
  name->erase(0, prefix.size());
  return true;
}

// timm's names; positions of CLS, registers and patches joined.
Tensors TimmVision(const std::map<std::string, at::Tensor>& parameters) {
  Tensors out;
  for (const auto& [full, tensor] : parameters) {
    std::string name = full;
    if (!TakePrefix("vision.", &name) || name == "anatomy_pos") continue;
    if (name == "anatomy_tokens") {
      out.emplace_back("reg_token", tensor);
    } else if (name == "pos_embed") {
      out.emplace_back(name, at::cat({tensor.slice(1, 0, 1), parameters.at("vision.anatomy_pos"),
                                      tensor.slice(1, 1)},
                                     1));
    } else {
      out.emplace_back(name, tensor);
    }
  }
  return out;
}

// Hugging Face's names; q, k and v apart.
Tensors HuggingFaceText(const std::map<std::string, at::Tensor>& parameters) {
  const std::map<std::string, std::string> kParts = {{"attn.proj", "attention.output.dense"},
                                                     {"norm1", "attention.output.LayerNorm"},
                                                     {"mlp.fc1", "intermediate.dense"},
                                                     {"mlp.fc2", "output.dense"},
                                                     {"norm2", "output.LayerNorm"}};
  Tensors out;
  for (const auto& [full, tensor] : parameters) {
    std::string name = full;
    if (!TakePrefix("text.", &name)) continue;
    if (TakePrefix("embeddings.norm.", &name)) {
      out.emplace_back("embeddings.LayerNorm." + name, tensor);
    } else if (TakePrefix("embeddings.", &name)) {
      out.emplace_back("embeddings." + name + ".weight", tensor);
    } else if (TakePrefix("layers.", &name)) {
      const std::size_t dot = name.find('.'), last = name.rfind('.');
      const std::string layer = "encoder.layer." + name.substr(0, dot) + ".";
      const std::string part = name.substr(dot + 1, last - dot - 1), kind = name.substr(last);
      if (part == "attn.qkv") {
        const std::vector<at::Tensor> thirds = tensor.chunk(3, 0);
        const char* const kNames[] = {"query", "key", "value"};
        for (int i = 0; i < 3; ++i)
          out.emplace_back(layer + "attention.self." + kNames[i] + kind, thirds[i]);
      } else {
        out.emplace_back(layer + kParts.at(part) + kind, tensor);
      }
    }
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

nlohmann::json ModelConfigJson(const LoadedModel& loaded) {
  nlohmann::json regions = nlohmann::json::array();
  for (const char* name : data::kRegionNames) regions.push_back(name);
  const Config& config = loaded.config;
  return {{"model", "anatomy-vlm"},
          {"step", loaded.step},
          {"embed_dim", config.model.embed_dim},
          {"pooling", config.model.text.pooling},
          {"image_mean", config.data.mean},
          {"image_std", config.data.std},
          {"image_labels", loaded.vocabulary.image_labels},
          {"regions", regions},
          {"vision", TimmConfig(config.model.vision)},
          {"text", BertConfig(loaded.model->config().text)},
          {"config", config.text}};
}

}  // namespace

void Export(const std::string& checkpoint, const std::string& out) {
  const LoadedModel loaded = LoadModel(checkpoint, at::kCPU);
  std::map<std::string, at::Tensor> parameters;
  for (const auto& parameter : loaded.model->parameters())
    parameters[parameter.name] = parameter.tensor;
  const Tensors vision = TimmVision(parameters), text = HuggingFaceText(parameters);
  Tensors all;
  for (const auto& [name, tensor] : vision) all.emplace_back("vision." + name, tensor);
  for (const auto& [name, tensor] : text) all.emplace_back("text." + name, tensor);
  for (const auto& [name, tensor] : parameters) {
    const bool tower = name.rfind("vision.", 0) == 0 || name.rfind("text.", 0) == 0;
    if (!tower || name.rfind("text.projection.", 0) == 0) all.emplace_back(name, tensor);
  }
  if (loaded.model->knowledge_rows().defined())
    all.emplace_back("knowledge.region_rows", loaded.model->knowledge_rows());
  MakeDirs(out + "/text");
  WriteTensors(out + "/vision.safetensors", vision);
  WriteTensors(out + "/text/model.safetensors", text);
  WriteTensors(out + "/model.safetensors", all);
  WriteFileAtomic(out + "/vision.json", TimmConfig(loaded.config.model.vision).dump(2) + "\n");
  WriteFileAtomic(out + "/text/config.json",
                  BertConfig(loaded.model->config().text).dump(2) + "\n");
  WriteFileAtomic(out + "/text/vocab.txt", Join(loaded.vocabulary.wordpieces, "\n") + "\n");
  WriteFileAtomic(
      out + "/text/tokenizer_config.json",
      nlohmann::json{{"tokenizer_class", "BertTokenizer"}, {"do_lower_case", true}}.dump(2) + "\n");
  WriteFileAtomic(out + "/config.json", ModelConfigJson(loaded).dump(2) + "\n");
  log::Info("exported step ", loaded.step, " of ", loaded.folder, " to ", out);
}

}  // namespace vesalius::trainer
