#include "trainer/foreign_weights.h"

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "checkpoints/safetensors.h"
#include "data/record.h"

namespace vesalius::trainer {
namespace {

using checkpoints::SafeTensor;
using Files = std::map<std::string, const SafeTensor*>;  // by name without the tower's prefix

constexpr const char* kVisionMark = "patch_embed.proj.weight";
constexpr const char* kTextMark = "embeddings.word_embeddings.weight";

bool StartsWith(const std::string& text, const std::string& prefix) {
  return text.rfind(prefix, 0) == 0;
}

std::optional<at::ScalarType> FloatType(const std::string& dtype) {
  if (dtype == "F32") return at::kFloat;
  if (dtype == "F16") return at::kHalf;
  if (dtype == "BF16") return at::kBFloat16;
  if (dtype == "F64") return at::kDouble;
  return std::nullopt;
}

// One tower's tensors, and what becomes of them.
class Importer {
 public:
  Importer(ForeignWeights* out, const Files& files) : out_(*out), files_(files) {}

  bool Has(const std::string& name) const { return files_.count(name) > 0; }

  // A copy, since data in a foreign file may be unaligned.
  at::Tensor Read(const std::string& name) const {
    const SafeTensor& in = *files_.at(name);
    const auto type = FloatType(in.dtype);
    Require(type.has_value(), ExitCode::kConfig, out_.path, ": tensor '", in.name, "' is ",
            in.dtype, "; --init reads F32, F16, BF16 and F64");
    at::Tensor raw = at::empty(in.shape, at::TensorOptions().dtype(*type));
    std::memcpy(raw.mutable_data_ptr(), in.data, in.bytes);
    return raw.to(at::kFloat);
  }

  void Put(const std::string& ours, at::Tensor tensor, const std::string& theirs) {
    const bool fresh =
        out_.entries.emplace(ours, ForeignWeights::Entry{std::move(tensor), theirs}).second;
    Require(fresh, ExitCode::kConfig, out_.path, ": '", theirs, "' gives ", ours,
            " a second time: the file mixes two naming schemes");
  }

  void Skip(const std::string& name) { out_.skipped.push_back(files_.at(name)->name); }

  std::string Full(const std::string& name) const { return files_.at(name)->name; }
  const std::string& path() const { return out_.path; }
  const Files& files() const { return files_; }

 private:
  ForeignWeights& out_;
  const Files& files_;
};

// "3.attn.qkv.weight" -> "3", "attn.qkv", "weight"; false when it is not of that form.
bool SplitBlock(const std::string& name, std::string* index, std::string* part, std::string* kind) {
  const std::size_t dot = name.find('.'), last = name.rfind('.');
  if (dot == std::string::npos || dot == 0 || last <= dot || dot > 4) return false;
  *index = name.substr(0, dot);
  *part = name.substr(dot + 1, last - dot - 1);
  *kind = name.substr(last + 1);
  return index->find_first_not_of("0123456789") == std::string::npos;
}

[[noreturn]] void NoPlace(const Importer& in, const std::string& name, const char* tower) {
  Fail(ExitCode::kConfig, in.path(), ": tensor '", in.Full(name), "' belongs to a ", tower,
       " with parts that the model does not have; --init takes plain timm ViTs and BERT");
}

// pos_embed of timm: positions of CLS, a distillation token and registers (or of none of them), and
// of a square grid.
void ImportPositions(Importer& in) {
  const at::Tensor all = in.Read("pos_embed");
  const std::int64_t registers = in.Has("reg_token") ? in.Read("reg_token").size(1) : 0;
  Require(all.dim() == 3 && all.size(0) == 1, ExitCode::kConfig, in.path(), ": tensor '",
          in.Full("pos_embed"), "' is not [1, tokens, width]");
  const std::int64_t extra = 1 + (in.Has("dist_token") ? 1 : 0) + registers, tokens = all.size(1);
  const auto square = [](std::int64_t n) {
    const auto side = static_cast<std::int64_t>(std::sqrt(static_cast<double>(n)) + 0.5);
    return n > 0 && side * side == n;
  };
  const bool grid_only = !square(tokens - extra);
  Require(!grid_only || square(tokens), ExitCode::kConfig, in.path(), ": tensor '",
          in.Full("pos_embed"), "' has ", tokens, " positions, and neither that nor that less ",
          extra, " is the square of a grid's side");
  const at::Tensor cls =
      grid_only ? at::zeros({1, 1, all.size(2)}, all.options()) : all.slice(1, 0, 1);
  in.Put("vision.pos_embed", at::cat({cls, all.slice(1, grid_only ? 0 : extra)}, 1),
         in.Full("pos_embed"));
  if (registers == data::kRegions)
    in.Put("vision.anatomy_pos",
           grid_only ? at::zeros({1, registers, all.size(2)}, all.options())
                     : all.slice(1, extra - registers, extra).contiguous(),
           in.Full("pos_embed"));
}

void ImportVision(Importer& in) {
  const std::vector<std::string> kParts = {"norm1", "attn.qkv", "attn.proj",
                                           "norm2", "mlp.fc1",  "mlp.fc2"};
  for (const auto& [name, file] : in.files()) {
    std::string index, part, kind;
    if (name == "pos_embed") {
      ImportPositions(in);
    } else if (name == "reg_token") {
      at::Tensor tokens = in.Read(name);
      if (tokens.dim() == 3 && tokens.size(1) == data::kRegions)
        in.Put("vision.anatomy_tokens", tokens, file->name);
      else
        in.Skip(name);
    } else if (name == "cls_token" || StartsWith(name, "patch_embed.proj.") ||
               name == "norm.weight" || name == "norm.bias") {
      in.Put("vision." + name, in.Read(name), file->name);
    } else if (StartsWith(name, "blocks.")) {
      const bool known = SplitBlock(name.substr(7), &index, &part, &kind) &&
                         std::find(kParts.begin(), kParts.end(), part) != kParts.end() &&
                         (kind == "weight" || kind == "bias");
      if (!known) NoPlace(in, name, "vision tower");
      in.Put("vision." + name, in.Read(name), file->name);
    } else if (StartsWith(name, "norm_pre.")) {
      NoPlace(in, name, "vision tower");
    } else {
      in.Skip(name);  // classifier heads
    }
  }
}

// "LayerNorm.gamma" -> "LayerNorm.weight".
std::string ModernKind(const std::string& kind) {
  return kind == "gamma" ? "weight" : kind == "beta" ? "bias" : kind;
}

void ImportText(Importer& in) {
  const std::map<std::string, std::string> kParts = {
      {"attention.output.dense", "attn.proj"}, {"attention.output.LayerNorm", "norm1"},
      {"intermediate.dense", "mlp.fc1"},       {"output.dense", "mlp.fc2"},
      {"output.LayerNorm", "norm2"},           {"attention.self.query", "attn.qkv"},
      {"attention.self.key", "attn.qkv"},      {"attention.self.value", "attn.qkv"}};
  for (const auto& [name, file] : in.files()) {
    std::string index, part, kind;
    if (StartsWith(name, "encoder.layer.")) {
      const bool split = SplitBlock(name.substr(14), &index, &part, &kind);
      kind = ModernKind(kind);
      if (!split || kParts.count(part) == 0 || (kind != "weight" && kind != "bias"))
        NoPlace(in, name, "text tower");
      const std::string ours = "text.layers." + index + "." + kParts.at(part) + "." + kind;
      if (kParts.at(part) != "attn.qkv") {
        in.Put(ours, in.Read(name), file->name);
      } else if (part == "attention.self.query") {
        std::vector<at::Tensor> thirds;
        const std::string layer = "encoder.layer." + index + ".attention.self.";
        for (const char* third : {"query.", "key.", "value."}) {
          const std::string theirs = layer + third + kind;
          Require(in.Has(theirs), ExitCode::kConfig, in.path(), ": tensor '", file->name,
                  "' is there without its ", third, kind);
          thirds.push_back(in.Read(theirs));
          Require(thirds.back().sizes() == thirds[0].sizes() && thirds[0].dim() > 0,
                  ExitCode::kConfig, in.path(), ": query, key and value of layer ", index,
                  " have different shapes");
        }
        in.Put(ours, at::cat(thirds), StrCat(file->name, " (key, value)"));
      }
    } else if (StartsWith(name, "embeddings.LayerNorm.")) {
      in.Put("text.embeddings.norm." + ModernKind(name.substr(21)), in.Read(name), file->name);
    } else if (name == "embeddings.word_embeddings.weight" ||
               name == "embeddings.position_embeddings.weight" ||
               name == "embeddings.token_type_embeddings.weight") {
      in.Put("text." + name.substr(0, name.size() - 7), in.Read(name), file->name);
    } else if (StartsWith(name, "encoder.")) {
      NoPlace(in, name, "text tower");
    } else {
      in.Skip(name);  // pooler, position_ids
    }
  }
}

// Whether a name is one of our parameters outside the towers, whose names are others' in a file.
bool IsOwn(const std::string& name, const std::vector<std::string>& known) {
  const bool tower = StartsWith(name, "vision.") || StartsWith(name, "text.");
  return (!tower || name == "text.projection.weight") &&
         std::find(known.begin(), known.end(), name) != known.end();
}

// What stands before `mark` in the one name that ends with it; nothing when no name does.
std::optional<std::string> FindPrefix(const std::string& path, const char* mark,
                                      const std::vector<SafeTensor>& tensors) {
  std::optional<std::string> prefix;
  const std::string tail = mark;
  for (const SafeTensor& tensor : tensors) {
    const std::string& name = tensor.name;
    if (name.size() < tail.size() || name.compare(name.size() - tail.size(), tail.size(), tail))
      continue;
    const std::string before = name.substr(0, name.size() - tail.size());
    if (!before.empty() && before.back() != '.') continue;
    Require(!prefix.has_value(), ExitCode::kConfig, path, " holds more than one ", mark,
            ": under '", prefix.value_or(""), "' and '", before, "'; keep one of them");
    prefix = before;
  }
  return prefix;
}

// Heads cannot be seen in the tensors; Hugging Face's and our own config.json tell them.
void ReadHeads(ForeignWeights* out) {
  const auto beside = std::filesystem::path(out->path).parent_path() / "config.json";
  if (!Exists(beside.string())) return;
  const auto json = nlohmann::json::parse(ReadFile(beside.string()), nullptr, false);
  if (!json.is_object()) return;
  const auto number = [](const nlohmann::json& object, const char* key) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return object.is_object() && found != object.end() && found->is_number_integer()
               ? found->get<int>()
               : 0;
  };
  out->text_heads = number(json.contains("text") ? json["text"] : json, "num_attention_heads");
  if (json.contains("vision") && json["vision"].is_object() && json["vision"].contains("args"))
    out->vision_heads = number(json["vision"]["args"], "num_heads");
}

}  // namespace

ForeignWeights ReadForeignWeights(const std::string& path, const std::vector<std::string>& known) {
  const checkpoints::SafeTensorsFile file(path);
  ForeignWeights out;
  out.path = path;
  const auto vision = FindPrefix(path, kVisionMark, file.tensors());
  const auto text = FindPrefix(path, kTextMark, file.tensors());
  Files own, of_vision, of_bert;
  for (const SafeTensor& tensor : file.tensors()) {
    if (IsOwn(tensor.name, known)) {
      own[tensor.name] = &tensor;
      continue;
    }
    bool seen = vision && StartsWith(tensor.name, *vision);
    bool read = text && StartsWith(tensor.name, *text);
    if (seen && read) {  // the longer prefix wins; of equal ones, names tell
      const std::string rest = tensor.name.substr(text->size());
      read = *vision == *text ? StartsWith(rest, "embeddings.") || StartsWith(rest, "encoder.")
                              : text->size() > vision->size();
      seen = !read;
    }
    if (read)
      of_bert[tensor.name.substr(text->size())] = &tensor;
    else if (seen)
      of_vision[tensor.name.substr(vision->size())] = &tensor;
    else
      out.skipped.push_back(tensor.name);
  }
  Importer vision_in(&out, of_vision), text_in(&out, of_bert), own_in(&out, own);
  if (vision) ImportVision(vision_in);
  if (text) ImportText(text_in);
  for (const auto& [name, tensor] : own) own_in.Put(name, own_in.Read(name), name);
  out.vision = vision.has_value();
  out.text = text.has_value();
  Require(!out.entries.empty(), ExitCode::kConfig, path,
          " holds no weights that --init knows: neither timm's ", kVisionMark,
          ", nor Hugging Face's ", kTextMark, ", nor names of a Vesalius export");
  ReadHeads(&out);
  return out;
}

}  // namespace vesalius::trainer
