#include "trainer/initial_weights.h"

#include <cmath>
#include <set>

#include "base/error.h"
#include "trainer/foreign_weights.h"

namespace vesalius::trainer {
namespace {

using Shapes = std::map<std::string, std::vector<std::int64_t>>;

std::string ShapeText(at::IntArrayRef shape) {
  std::vector<std::string> sizes;
  for (const std::int64_t size : shape) sizes.push_back(std::to_string(size));
  return "[" + Join(sizes, ", ") + "]";
}

std::int64_t Side(std::int64_t grid) {
  return static_cast<std::int64_t>(std::sqrt(static_cast<double>(grid)) + 0.5);
}

// The patch kernel [D, C, p, p] for another number of channels. One from three: the sum, which is
// the response to grey. Three from one: a third each, since the loader replicates grey.
at::Tensor FitChannels(const at::Tensor& kernel, std::int64_t channels) {
  if (kernel.dim() != 4 || kernel.size(1) == channels) return kernel;
  if (channels == 1 && kernel.size(1) == 3) return kernel.sum(1, /*keepdim=*/true);
  if (channels == 3 && kernel.size(1) == 1) return (kernel / 3).repeat({1, 3, 1, 1});
  return kernel;
}

// Positions [1, 1 + side^2, D] on another grid; the CLS part is kept.
at::Tensor FitGrid(const at::Tensor& positions, std::int64_t tokens) {
  if (positions.size(1) == tokens) return positions;
  const std::int64_t from = Side(positions.size(1) - 1), to = Side(tokens - 1);
  const std::int64_t width = positions.size(2);
  const at::Tensor grid =
      positions.slice(1, 1).reshape({1, from, from, width}).permute({0, 3, 1, 2});
  const at::Tensor resized = at::_upsample_bicubic2d_aa(grid.contiguous(), {to, to}, false);
  return at::cat(
      {positions.slice(1, 0, 1), resized.permute({0, 2, 3, 1}).reshape({1, to * to, width})}, 1);
}

// Finds what in a file contradicts the configuration, key by key, so that one message names all.
class Fit {
 public:
  Fit(const ForeignWeights& file, const Shapes& shapes) : file_(file), shapes_(shapes) {}

  // Dimension `at` of a tensor is what `key` says.
  void Dimension(const std::string& name, std::size_t at, const char* key, std::int64_t value) {
    const auto found = file_.entries.find(name);
    if (found == file_.entries.end()) return;
    const at::Tensor& tensor = found->second.tensor;
    const auto shape = shapes_.find(name);
    if (static_cast<std::int64_t>(at) >= tensor.dim() || tensor.size(at) == value) return;
    Complain(key, tensor.size(at),
             StrCat("tensor '", found->second.origin, "' is ", ShapeText(tensor.sizes()),
                    shape == shapes_.end() ? std::string()
                                           : StrCat(", the model's ", ShapeText(shape->second))));
  }
  // Blocks under `prefix`, which are numbered from 0 without gaps.
  void Depth(const std::string& prefix, const char* key, std::int64_t value) {
    std::set<std::int64_t> seen;
    for (const auto& [name, entry] : file_.entries)
      if (name.rfind(prefix, 0) == 0) seen.insert(std::stoll(name.substr(prefix.size())));
    const auto count = static_cast<std::int64_t>(seen.size());
    Require(seen.empty() || *seen.rbegin() + 1 == count, ExitCode::kConfig, file_.path, ": of the ",
            "blocks up to ", seen.empty() ? 0 : *seen.rbegin(), " only ", count, " are there");
    if (count != value) Complain(key, count, StrCat("it has ", count, " blocks"));
  }
  void Heads(const char* key, std::int64_t heads, std::int64_t value) {
    if (heads > 0 && heads != value) Complain(key, heads, "the config.json beside it");
  }
  void Vocabulary(std::int64_t value) {
    const auto found = file_.entries.find("text.embeddings.word_embeddings");
    if (found == file_.entries.end() || found->second.tensor.dim() != 2) return;
    const std::int64_t rows = found->second.tensor.size(0);
    if (rows != value)
      complaints_.push_back(StrCat("data.vocab to the vocab.txt that belongs to it (tensor '",
                                   found->second.origin, "' has ", rows,
                                   " word pieces, the vocabulary of this run ", value, ")"));
  }
  void RequireNone() const {
    Require(complaints_.empty(), ExitCode::kConfig, file_.path, " does not fit the model. Set ",
            Join(complaints_, ", "));
  }

 private:
  void Complain(const char* key, std::int64_t wanted, const std::string& why) {
    complaints_.push_back(StrCat(key, "=", wanted, " (", why, ")"));
  }
  const ForeignWeights& file_;
  const Shapes& shapes_;
  std::vector<std::string> complaints_;
};

void RequireFits(const ForeignWeights& file, const Config& config, std::int64_t vocabulary,
                 const Shapes& shapes) {
  const model::VisionConfig& vision = config.model.vision;
  const model::TextConfig& text = config.model.text;
  Fit fit(file, shapes);
  if (file.vision) {
    fit.Dimension("vision.patch_embed.proj.weight", 0, "model.width", vision.width);
    fit.Dimension("vision.patch_embed.proj.weight", 2, "model.patch_size", vision.patch_size);
    fit.Depth("vision.blocks.", "model.depth", vision.depth);
    fit.Dimension("vision.blocks.0.mlp.fc1.weight", 0, "model.mlp", vision.mlp);
    fit.Heads("model.heads", file.vision_heads, vision.heads);
  }
  if (file.text) {
    fit.Dimension("text.embeddings.word_embeddings", 1, "model.text.width", text.width);
    fit.Dimension("text.embeddings.position_embeddings", 0, "model.text.positions", text.positions);
    fit.Depth("text.layers.", "model.text.depth", text.depth);
    fit.Dimension("text.layers.0.mlp.fc1.weight", 0, "model.text.mlp", text.mlp);
    fit.Heads("model.text.heads", file.text_heads, text.heads);
    fit.Vocabulary(vocabulary);
  }
  for (const char* head : {"global_head.weight", "text.projection.weight", "enrich.weight"})
    fit.Dimension(head, 0, "model.embed_dim", config.model.embed_dim);
  fit.RequireNone();
}

// What a tower from a file may lack: what timm's models do not have, or have under a pooling.
bool MayBeFresh(const std::string& name) {
  return name == "vision.anatomy_tokens" || name == "vision.anatomy_pos" ||
         name == "vision.norm.weight" || name == "vision.norm.bias" ||
         name == "text.projection.weight";
}

void RequireWhole(const ForeignWeights& file, const Shapes& shapes) {
  for (const auto& [name, shape] : shapes) {
    const bool wanted = (file.vision && name.rfind("vision.", 0) == 0) ||
                        (file.text && name.rfind("text.", 0) == 0);
    Require(!wanted || MayBeFresh(name) || file.entries.count(name) > 0, ExitCode::kConfig,
            file.path, " lacks what becomes ", name, " ", ShapeText(shape),
            ": it is a part of a model, or a model of another kind");
  }
}

// "a, b, c and 12 more".
std::string FirstOf(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 4;
  std::vector<std::string> shown(names.begin(), names.begin() + std::min(kShown, names.size()));
  return Join(shown, ", ") +
         (names.size() > kShown ? StrCat(" and ", names.size() - kShown, " more") : "");
}

// "box_head.0.weight" -> "box_head", "text.layers.1.norm1.bias" -> "text.layers".
std::string ModuleOf(const std::string& name) {
  const bool tower = name.rfind("vision.", 0) == 0 || name.rfind("text.", 0) == 0;
  const std::size_t first = name.find('.');
  return name.substr(0, tower ? name.find('.', first + 1) : first);
}

void Add(const ForeignWeights& file, const Shapes& shapes, InitialWeights* out) {
  for (const auto& [name, entry] : file.entries) {
    const auto shape = shapes.find(name);
    Require(shape != shapes.end(), ExitCode::kConfig, file.path, ": tensor '", entry.origin,
            "' would be ", name, ", which the model does not have");
    at::Tensor tensor = entry.tensor;
    if (name == "vision.patch_embed.proj.weight" && shape->second.size() == 4)
      tensor = FitChannels(tensor, shape->second[1]);
    if (name == "vision.pos_embed" && tensor.size(2) == shape->second[2])
      tensor = FitGrid(tensor, shape->second[1]);
    Require(tensor.sizes() == at::IntArrayRef(shape->second), ExitCode::kConfig, file.path,
            ": tensor '", entry.origin, "' is ", ShapeText(entry.tensor.sizes()), ", and ", name,
            " of the model is ", ShapeText(shape->second));
    out->tensors[name] = tensor.contiguous();
  }
  const char* kind = file.vision && file.text ? "vision and text"
                     : file.vision            ? "vision"
                     : file.text              ? "text"
                                              : "heads";
  std::string line =
      StrCat("--init ", file.path, ": ", kind, ", ", file.entries.size(), " tensors loaded");
  if (!file.skipped.empty()) line += "; skipped: " + FirstOf(file.skipped);
  out->summary.push_back(line);
}

}  // namespace

InitialWeights ReadInitialWeights(const std::vector<std::string>& files, const Config& config,
                                  const ModelVocabulary& vocabulary) {
  Shapes shapes;
  std::vector<std::string> names;
  for (const auto& parameter : BuildModel(config, vocabulary, at::kCPU)->parameters()) {
    shapes[parameter.name] = parameter.tensor.sizes().vec();
    names.push_back(parameter.name);
  }
  InitialWeights out;
  for (const std::string& path : files) {
    const ForeignWeights file = ReadForeignWeights(path, names);
    RequireFits(file, config, static_cast<std::int64_t>(vocabulary.wordpieces.size()), shapes);
    RequireWhole(file, shapes);
    Add(file, shapes, &out);
  }
  std::vector<std::string> fresh;  // by module
  for (const std::string& name : names)
    if (out.tensors.count(name) == 0 &&
        std::find(fresh.begin(), fresh.end(), ModuleOf(name)) == fresh.end())
      fresh.push_back(ModuleOf(name));
  if (!fresh.empty())
    out.summary.push_back("--init leaves at their random start: " + Join(fresh, ", "));
  return out;
}

void ApplyInitialWeights(const InitialWeights& weights,
                         const std::vector<model::ParameterInfo>& parameters) {
  const at::NoGradGuard no_grad;
  for (const auto& parameter : parameters) {
    const auto found = weights.tensors.find(parameter.name);
    if (found != weights.tensors.end()) at::Tensor(parameter.tensor).copy_(found->second);
  }
}

}  // namespace vesalius::trainer
